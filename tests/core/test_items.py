"""One stream for many signals: the same ones in fewer bytes, names that lead nowhere else, damage that says where."""

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from liveaction.codec.codec import build_codec
from liveaction.codec.info import read_info
from liveaction.codec.items import StreamItems
from liveaction.codec.model import Model, verify
from liveaction.codec.names import ITEM, check_names
from liveaction.codec.weights import save_model
from liveaction.coding import container as containers
from liveaction.coding.container import ContainerReader, ContainerWriter
from liveaction.coding.source import Source
from liveaction.errors import FormatError, IntegrityError, ShapeError, SpecError
from liveaction.recipe import load_recipe
from liveaction.signal import Signal

NAMES = ("hat/1.png", "hat/two words.png", "shoe/1.png", "ü.png")
EXTENTS = ((33, 29), (7, 64), (33, 29), (1, 1))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    torch.manual_seed(0)
    recipe = load_recipe("rgb_smoke", ["codec.levels=2", "codec.latent_channels=7"])
    codec = build_codec(recipe).eval()
    return Model(codec, recipe, save_model(codec, recipe, tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def signals() -> list[Signal]:
    rng = np.random.default_rng(0)
    return [
        Signal(rng.integers(0, 256, (3, *shape), np.uint8), ("y", "x"), "", (1.0, 1.0), "uint8") for shape in EXTENTS
    ]


@pytest.fixture(scope="module")
def data(model: Model, signals: list[Signal]) -> bytes:
    return model.compress_many(signals, NAMES)


def renamed(data: bytes, names: list[object]) -> bytes:
    """The same items, called otherwise."""
    first, file = ContainerReader(Source(data), "x"), io.BytesIO()
    writer: ContainerWriter | None = None
    for number, name in enumerate(names):
        item = first.at(number)
        header = {**item.header, "extras": {ITEM: name}}
        if writer is None:
            writer = ContainerWriter(file, header, item.chunks, item.side)
        else:
            writer.next_item(header, item.chunks, item.side)
        for chunk in range(item.chunks):
            writer.add(item.read(chunk))
    assert writer is not None
    writer.close()
    return file.getvalue()


def test_items_are_the_signals_that_streams_of_their_own_hold(model, signals, data):
    alone = [model.compress(signal) for signal in signals]
    with model.open_many(data) as items:
        assert (len(items), items.names) == (4, NAMES)
        for number, stream in enumerate(alone):
            wanted = model.decompress(stream)
            for found in (items.read(number), items.read(NAMES[number]), model.decompress(data, item=number)):
                assert np.array_equal(found.values, wanted.values) and found.shape == wanted.shape
        assert np.array_equal(items[1][:, 2, ::3], items.read(1).values[:, 2, ::3])
        assert items[-1].shape == (3, 1, 1) and [view.shape for view in items[1:3]] == [(3, 7, 64), (3, 33, 29)]
        with pytest.raises(IndexError):
            items.read(4)
        with pytest.raises(FormatError, match=r"^stream: expected the name of one of its 4 items, got 'hat'$"):
            items.read("hat")
    chunks = sum(ContainerReader(Source(stream), "x").entries.bytes_of_chunks for stream in alone)
    assert (len(data) - chunks) < 0.7 * (sum(map(len, alone)) - chunks)


def test_what_was_written_of_each_item_adds_up(model, signals, tmp_path):
    written = model.compress_many_file(signals, tmp_path / "a.lva", NAMES, extras={"by": "a test"})
    with Source(tmp_path / "a.lva") as source:
        first = ContainerReader(source, "x")
        for number, each in enumerate(written):
            item = first.at(number)
            assert each.bytes == item.overhead + item.entries.bytes_of_chunks
            assert item.header["extras"] == {"by": "a test", ITEM: NAMES[number]}
    info = read_info(tmp_path / "a.lva")
    assert (info["items"], tuple(info["names"])) == (4, NAMES)
    assert 4 * sum(info["bytes_per_item"].values()) == info["bytes"] == (tmp_path / "a.lva").stat().st_size
    assert info["ratio"] == sum(signal.native_bits for signal in signals) / (8 * info["bytes"])


def test_one_item_is_a_stream_like_others(model, signals):
    assert model.compress_many(signals[:1]) == model.compress(signals[0])
    assert model.open_many(model.compress(signals[0])).names == ("",)


def test_views_and_items_go_to_other_processes_and_end_with_their_file(model, signals, tmp_path):
    path = tmp_path / "a.lva"
    model.compress_many_file(signals, path, NAMES)
    items = model.open_many(path)
    view = items[1]
    assert isinstance(pickle.loads(pickle.dumps(items)), StreamItems)
    assert np.array_equal(pickle.loads(pickle.dumps(view))[...], view[...])
    items.close()
    with pytest.raises(ValueError, match="expected one that is open, got one that was closed"):
        items[2][...]
    kept = pickle.dumps(view)
    model.compress_many_file(signals[::-1], path, NAMES)
    with pytest.raises(FormatError, match="expected the stream that was opened, got another one"):
        pickle.loads(kept)


@pytest.mark.parametrize(
    "name",
    [
        "../a.png", "a/../../b.png", "/etc/a.png", "a//b.png", "a/", ".", "./a.png", "a\\..\\b.png", "C:/a.png",
        "C:a.png",         "a\nb.png", "a\x1b[2J.png", "a\x9bb.png", "\udcff.png", "", "x" * 1001, 7, None, ["a.png"],
    ],
)  # fmt: skip
def test_names_that_lead_elsewhere_are_refused_when_written_and_when_read(model, signals, data, name, tmp_path):
    with pytest.raises(FormatError, match=r"^names: item 1: expected .* for an item, got "):
        model.compress_many(signals[:2], ["a.png", name])
    if name == "\udcff.png":
        return  # is no JSON of a header
    path = tmp_path / "a.lva"
    path.write_bytes(renamed(data, ["a.png", name]))
    for act in (lambda: model.open_many(path).names, lambda: read_info(path), lambda: verify(path)):
        with pytest.raises(FormatError, match=r"a.lva: item 1.*: expected .* for an item, got "):
            act()
    assert model.decompress(path, item=1).shape == signals[1].shape  # to decode, nobody needs a name


@pytest.mark.parametrize(("names", "said"), [(["a", "b", "a"], "'a' again"), (["a/b", "c", "a"], "got 'a'$")])
def test_names_that_cannot_stand_beside_each_other_are_refused(model, signals, data, names, said, tmp_path):
    with pytest.raises(FormatError, match=said):
        model.compress_many(signals[:3], names)
    with pytest.raises(FormatError, match=said):
        _ = model.open_many(renamed(data, names)).names
    check_names(["", "", "a"], "x")


def test_damage_in_an_item_names_it_and_leaves_the_others(model, signals, data, tmp_path):
    path, broken = tmp_path / "a.lva", bytearray(data)
    entry = ContainerReader(Source(data), "x", 2).entries[0]
    broken[entry.offset + entry.length // 2] ^= 1
    path.write_bytes(broken)
    with model.open_many(path) as items:
        assert [items.read(number).shape for number in (0, 1, 3)] == [EXTENTS[0], EXTENTS[1], EXTENTS[3]]
        with pytest.raises(IntegrityError, match=r"a.lva: item 2 'shoe/1.png': expected checksum .* of chunk 0, got"):
            items.read(2)
    for found in (verify(path), verify(path, model)):
        assert [(damage.item, damage.chunk) for damage in found.damaged] == [(2, 0)]
        assert "item 2 'shoe/1.png'" in found.damaged[0].reason and found.names == NAMES
        assert found.chunks == 4 and found.decoded is None
    broken = bytearray(data)
    broken[40] ^= 1
    with pytest.raises(IntegrityError, match="header and index"):
        model.open_many(bytes(broken))


def test_a_head_that_changes_while_it_is_open_is_refused(signals, data):
    file = io.BytesIO(data)
    first = ContainerReader(file, "x")
    _ = first.entries
    for position in range(13, ContainerReader(Source(data), "x").entries[0].offset - 4):
        file.getbuffer()[position] ^= 1
        with pytest.raises(FormatError):
            [first.at(number).entries for number in range(4)]
        file.getbuffer()[position] ^= 1


def test_what_goes_wrong_leaves_nothing(model, signals, tmp_path, monkeypatch):
    path, wrong = tmp_path / "a.lva", Signal(np.zeros((2, 5, 5), np.uint8), ("y", "x"), "", (1.0, 1.0), "uint8")

    def refused(error, said, many, names=None, **options):
        with pytest.raises(error, match=said):
            model.compress_many_file(many, path, names, **options)
        assert list(tmp_path.iterdir()) == []

    refused(ShapeError, "^item 1 'b': compress: expected values", [signals[0], wrong], ["a", "b"])
    refused(SpecError, "expected at least one signal", [])
    refused(SpecError, "one for each of 1 signals, got 2", signals[:1], ["a", "b"])
    refused(SpecError, "one for each signal, got 1 for more", signals, ["a"])
    refused(SpecError, "^extras: expected no key 'item'", signals[:1], ["a"], extras={ITEM: "b"})
    refused(FormatError, "no-such", [signals[0], tmp_path / "no-such.png"])
    monkeypatch.setattr(containers, "MOST_ITEMS", 3)
    refused(FormatError, "^item 3: stream: expected at most 3 items, got more", signals)


def test_what_all_items_share_is_looked_for_once(model, data, monkeypatch):
    with model.open_many(data) as items:
        _ = model.modality
        monkeypatch.setattr("liveaction.codec.reader.modality_of", None)
        assert [items.read(number).shape for number in range(4)] == list(EXTENTS)


def test_signals_are_asked_for_one_by_one(model, signals):
    asked = []

    def each():
        for number, signal in enumerate(signals):
            asked.append(number)
            yield signal
            assert asked == list(range(number + 1))

    model.compress_many(each())
    assert asked == [0, 1, 2, 3]


def test_an_item_of_many_is_read_without_the_others(tmp_path):
    path = Path(tmp_path / "many.lva")
    with path.open("w+b") as file:
        writer = ContainerWriter(file, {"n": 0}, 1)
        for number in range(3000):
            writer.add(bytes(100))
            if number < 2999:
                writer.next_item({"n": number + 1}, 1)
        writer.close()
    with Source(path) as source:
        first = ContainerReader(source, "x")
        assert first.at(2999).read(0) == bytes(100)
        asked, plain = [], source.read_at
        source.read_at = lambda at, length: asked.append(length) or plain(at, length)
        assert first.at(1500).header == {"n": 1500} and first.at(1500).read(0) == bytes(100)
        assert sum(asked) < 400

"""A stream of many pictures as the source of a store."""

from pathlib import Path

import numpy as np
import pytest

from liveaction.archive.together import compress_together
from liveaction.cli.latents import find_labelled
from liveaction.codec.model import Model
from liveaction.codec.reader import StreamReader
from liveaction.errors import FormatError, SpecError
from liveaction.learning import sources
from liveaction.learning.labels import labelled_items
from liveaction.learning.making import StoreOptions, make_store
from liveaction.learning.sources import LatentSource, step_for_int8


@pytest.fixture(scope="module")
def stream(model: Model, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stream") / "all.lva"
    compress_together(pictures, path, model)
    return path


def test_a_store_of_a_stream_is_that_of_its_pictures(model, pictures, stream, tmp_path, monkeypatch):
    items = labelled_items(pictures, model.modality.find(pictures), "folders")
    wanted = make_store(items, LatentSource(model), tmp_path / "wanted")
    monkeypatch.setattr(StreamReader, "read", None)  # no sample is decoded
    opened = []
    monkeypatch.setattr(sources.OpenStream, "items", _counted(sources.OpenStream.items, opened))
    kind = LatentSource(model)
    found = make_store(find_labelled(stream, kind, "folders", "class"), kind, tmp_path / "found")
    assert len(set(opened)) == 1
    assert [(i.name, i.label, i.split) for i in found.items] == [(i.name, i.label, i.split) for i in wanted.items]
    for number in range(len(wanted)):
        assert np.array_equal(found.latents(number), wanted.latents(number))
    assert len({item.digest for item in found.items}) == len(found)
    assert sum(item.payload for item in found.items) == sum(item.payload for item in wanted.items)
    rest = stream.stat().st_size - sum(item.bytes for item in found.items)
    assert 0 < rest < 24 and sum(item.container for item in wanted.items) > 1.5 * sum(i.container for i in found.items)


def _counted(plain, opened):
    def items(self, stream):
        found = plain(self, stream)
        opened.append(id(found))
        return found

    return items


def test_what_a_stream_of_many_cannot_be_is_refused(model, pictures, stream, tmp_path):
    kind = LatentSource(model)
    items = find_labelled(stream, kind, "", "class")
    assert len(items) == 64 and items[0].name == "test/lying/00.png"
    with pytest.raises(SpecError, match="expected no --fit and no --views of a stream"):
        make_store(items, kind, tmp_path / "a", StoreOptions(None, fit={"x": 8}))
    with pytest.raises(SpecError, match="--int8: expected signals, got the stream"):
        step_for_int8(model, [items[0].path], {})
    with pytest.raises(FormatError, match=r"expected the name of one of its 64 items, got 'no.png'"):
        kind.encode(stream / "no.png", {}, ("identity",))
    archive = find_labelled(stream.parent, kind, "", "class")
    with pytest.raises(FormatError, match="expected a stream of one item in a folder, got 64; take it alone"):
        make_store(archive, kind, tmp_path / "b", StoreOptions(None))
    nameless = tmp_path / "c.lva"
    model.compress_many_file(sorted(pictures.rglob("*.png"))[:2], nameless)
    with pytest.raises(FormatError, match="expected a name of every item, got none of item 0"):
        find_labelled(nameless, kind, "", "class")
    model.compress_many_file(sorted(pictures.rglob("*.png"))[:1], nameless)
    assert [item.name for item in find_labelled(nameless, kind, "", "class")] == ["c.lva"]

"""Which tree is chosen for a signal, that streams keep it, and model directories that hold several."""

import io
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from liveaction.codec import front as fronts
from liveaction.codec import grid
from liveaction.codec.codec import build_codec
from liveaction.codec.grid import shape_of
from liveaction.codec.model import Model, load
from liveaction.codec.stream import compress, compress_file, decompress, open_reader
from liveaction.codec.tree_choice import TILE, TILES, choose_tree, tiles
from liveaction.codec.weights import save_model
from liveaction.coding.container import ContainerReader, ContainerWriter
from liveaction.errors import FormatError, IntegrityError
from liveaction.signal import Signal
from liveaction.spec import Recipe
from liveaction.training import freeze as freezing
from liveaction.training.data import Crops
from liveaction.training.freeze import freeze

TREES = [{"levels": [2, 2, 0], "continuation": [[1, 1, 0]]}, {"levels": 0, "lapped": [4, 4, 0]}]


def recipe_of(trees=TREES, basis="none", channels=1, **codec):
    return Recipe.model_validate(
        {
            "name": "trees",
            "modality": {"name": "array", "axes": ["x", "y", "z"], "channels": channels, "range": [-1, 1]},
            "codec": {
                "levels": 2,
                "continuation": 1,
                "wavelet": "bior6.8",
                "trees": trees,
                "encoder": {"kind": "sparse", "basis": basis},
                "decoder": {"kind": "linear"},
                "quantizer": {"kind": "uniform", "step": 0.05},
            }
            | codec,
            "training": {"steps": 0, "crop": [[16, 16, 4]], "start": "warm", "warm_crops": 4},
        }
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model of three trees with tables fitted to phantoms, and its folder."""
    recipe = recipe_of()
    torch.manual_seed(0)
    codec = build_codec(recipe).eval().requires_grad_(False)
    model = Model(codec, recipe, "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(freezing, "SYMBOLS", 1)  # eight chunks are enough here
        freeze(codec, Crops.of(model.modality, model.modality.synthetic(0, (33, 31, 9))), 0)
    folder = tmp_path_factory.mktemp("model")
    return Model(codec, recipe, save_model(codec, recipe, folder)), folder


def volume(apart, extents=(40, 36, 17), seed=0):
    """Smooth fields: one that hardly changes along z, or one of each slice's own."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(*(np.linspace(-1, 1, n) for n in extents[:2]), indexing="ij")
    slices, draw = [], np.zeros(5)
    for z in range(extents[2]):
        draw = rng.uniform(-1, 1, 5) if apart or not z else draw + 0.02
        slices.append(np.sin(4 * draw[0] * x + 3 * draw[1]) * np.cos(4 * draw[2] * y + 3 * draw[3]))
    values = 0.7 * np.stack(slices, -1)[None] + 0.004 * rng.standard_normal((1, *extents))
    return Signal(values.astype(np.float32), ("x", "y", "z"), "", (1.0,) * 3, "float32")


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("extents", [(40, 36, 17), (63, 33, 7)], ids=str)
def test_slices_that_are_alike_are_split_along_their_axis_and_others_not(made, apart, extents):
    model = made[0]
    signal = volume(apart, extents)
    number = choose_tree(model.codec, fronts.front_of(model, signal, (-1, 1), 0.05, tree=0).source, 0.05)
    assert (model.codec.trees[number].packets.factors[2] == 1) == apart
    data = compress(signal, model)[0]
    with open_reader(data, model) as reader:
        assert reader.header.tree == number and reader.codec is model.codec.trees[number]
        assert reader.layout.factors == reader.codec.packets.factors


def test_the_tree_that_is_chosen_takes_the_least(made, monkeypatch):
    model, costs = made[0], []
    for apart in (False, True):
        signal = volume(apart)
        chosen = choose_tree(model.codec, fronts.front_of(model, signal, (-1, 1), 0.05, tree=0).source, 0.05)
        for tree in range(3):
            with monkeypatch.context() as patch:
                patch.setattr(fronts, "choose_tree", lambda codec, source, step, tree=tree: tree)
                data = compress(signal, model)[0]
            back, _ = decompress(data, model)
            assert ContainerReader(io.BytesIO(data), "x").header.get("tree", 0) == tree
            error = np.mean((back.values - signal.values) ** 2)
            assert error < 0.05**2
            costs.append(float(error + 0.12 * 0.05**2 * 8 * len(data) / signal.values.size))
        assert costs[-3:][chosen] < 1.02 * min(costs[-3:]) and max(costs[-3:]) > 1.1 * min(costs[-3:])


def test_a_single_tree_and_a_signal_without_components_have_nothing_to_choose():
    codec = build_codec(recipe_of([])).eval()
    assert choose_tree(codec, torch.zeros(1, 1, 8, 8, 8), 0.05) == 0
    assert choose_tree(build_codec(recipe_of()).eval(), torch.zeros(0, 1, 8, 8, 8), 0.05) == 0


@pytest.mark.parametrize("extents", [(1,), (65,), (2**20 + 1,), (7, 1, 65), (513, 511, 97)], ids=str)
def test_tiles_lie_within_the_signal_and_are_scattered(extents):
    found = tiles(extents, TILE)
    assert 1 <= len(found) <= TILES and len(set(found)) == len(found)
    for box in found:
        assert all(0 <= low < high <= n for (low, high), n in zip(box, extents, strict=True))
        assert np.prod(shape_of(box)) <= TILE
    if np.prod(extents) > TILE * TILES:
        firsts = [box[0][0] for box in found]
        assert len(found) == TILES and max(firsts) - min(firsts) > extents[0] / 3


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"tree": 3}, "expected one of the 3 trees of recipe 'trees', got number 3"),
        ({"tree": 7}, "expected one of the 3 trees of recipe 'trees', got number 7"),
        ({"tree": 1}, r"expected 1 channels, 16 latent channels, factors \(4, 4, 1\) and 0 components"),
        ({"tree": -1}, "header key 'tree' to be right"),
    ],
)
def test_a_stream_of_another_tree_is_refused(made, keys, words):
    model = made[0]
    data = compress(volume(False), model)[0]
    container, file = ContainerReader(io.BytesIO(data), "x"), io.BytesIO()
    writer = ContainerWriter(file, {**container.header, **keys}, container.chunks)
    for number in range(container.chunks):
        writer.add(container.read(number))
    writer.close()
    assert container.header.get("tree", 0) == 0
    with pytest.raises(FormatError, match=f"^stream: {words}|^stream: expected {words}"):
        decompress(file.getvalue(), model)


def test_a_model_of_several_trees_and_parts_is_read_as_it_was_written(made, tmp_path):
    model, folder = made
    again = load(folder)
    assert again.digest == model.digest and again.codec.tables_digest == model.codec.tables_digest
    for ours, theirs in zip(model.codec.trees, again.codec.trees, strict=True):
        assert [t.digest for t in ours.tables] == [t.digest for t in theirs.tables]
    for apart in (False, True):
        compress_file(volume(apart), tmp_path / "a.lva", model)
        assert compress(volume(apart), again)[0] == (tmp_path / "a.lva").read_bytes()
    names = load_file(folder / "entropy.safetensors")
    parts = [len(tree.tables) for tree in model.codec.trees]
    assert parts == [3, 3, 1] and {name.split(".")[0] for name in names if "." in name} == {"0", "1", "2"}


def test_the_sensor_holds_its_side_of_every_tree(tmp_path):
    recipe = recipe_of(basis="trained", channels=3)
    torch.manual_seed(0)
    codec = build_codec(recipe).eval()
    save_model(codec, recipe, tmp_path)
    sensor, state = load_file(tmp_path / "encoder.safetensors"), codec.state_dict()
    assert sensor.keys() == {name for name in state if "encoder." in name or "quantizer." in name}
    assert all(f"{prefix}encoder.down.{key}" in sensor for prefix in ("", "others.0.", "others.1.")
               for key in ("weight", "order"))  # fmt: skip
    assert not any("decoder" in name for name in sensor) and len(sensor) < len(state)


@pytest.mark.parametrize("change", ["twice", "negative", "beyond"])
@pytest.mark.parametrize("name", ["encoder.down.order", "decoder.linear.order", "others.1.encoder.down.order"])
def test_a_damaged_order_is_refused(made, tmp_path, name, change):
    folder = shutil.copytree(made[1], tmp_path / "m")
    state = load_file(folder / "model.safetensors")
    order = state[name]
    order[1] = {"twice": order[0], "negative": -1, "beyond": len(order)}[change]
    save_file(state, folder / "model.safetensors")
    with pytest.raises(
        FormatError, match=rf"model\.safetensors: expected an order of {len(order)} latent channels, ea"
    ):
        load(folder)
    # a right order in place of another is other weights
    state[name] = np.arange(len(order))[::-1].astype(np.int64)
    save_file(state, folder / "model.safetensors")
    with pytest.raises(IntegrityError, match="the file was changed after it was saved"):
        load(folder)


def test_tables_of_another_recipe_are_refused(made, tmp_path):
    model, folder = made
    tables = load_file(folder / "entropy.safetensors")
    for number, (trees, codec) in enumerate([(TREES[:1], {}), ([*TREES, TREES[0]], {}), (TREES, {"continuation": 2})]):
        other = recipe_of(trees, **codec)
        target = tmp_path / str(number)
        save_model(build_codec(other).eval(), other, target)
        save_file(tables, target / "entropy.safetensors")
        with pytest.raises(
            FormatError, match=r"entropy\.safetensors: expected tables of .*; liveaction freeze .* makes"
        ):
            load(target)
    lost = shutil.copytree(folder, tmp_path / "lost")
    save_file(
        {name: array for name, array in tables.items() if not name.startswith("2.")}, lost / "entropy.safetensors"
    )
    with pytest.raises(FormatError, match=r"got none of the name '2\.0\."):
        load(lost)
    assert json.loads((folder / "config.json").read_text())["digest"] == model.digest


def test_equal_seeds_freeze_equal_tables(made, monkeypatch):
    model, found = made[0], []
    monkeypatch.setattr(freezing, "SYMBOLS", 1)
    monkeypatch.setattr(grid, "CHUNK_TOKENS", 27)
    crops = Crops.of(model.modality, model.modality.synthetic(0, (33, 31, 9)))
    for seed in (0, 0, 1):
        codec = build_codec(model.recipe).eval()
        freeze(codec, crops, seed)
        found.append(codec.tables_digest)
    assert found[0] == found[1] != found[2]

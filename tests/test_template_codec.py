"""The codec that ``liveaction new --like array`` proposes works on arrays of any shape, and may get a network."""

from pathlib import Path

import numpy as np
import pytest

from liveaction.cli.new_recipe import write_recipe
from liveaction.codec.model import load
from liveaction.recipe import load_recipe
from liveaction.training.run import train

SHAPES = [(1, 1), (5000,), (65, 63), (33, 7, 65), (9, 17, 5, 12)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEACTION_CACHE", str(tmp_path / "cache"))


def wave(shape: tuple[int, ...]) -> np.ndarray:
    places = np.meshgrid(*(np.linspace(0, 3, n) for n in shape), indexing="ij")
    return np.asarray(np.sin(sum(places)) + 0.01 * np.random.default_rng(0).normal(size=shape), np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_recipe_of_a_file_makes_a_codec_of_it(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = wave(shape)
    np.save(tmp_path / "a.npy", values)
    path = write_recipe("mine", "array", tmp_path / "a.npy", folder=tmp_path)
    recipe = load_recipe(path, ["training.warm_crops=2"])
    assert recipe.codec.encoder.kind == "sparse" and recipe.training.steps == 0
    model = load(train(recipe, tmp_path / "a.npy", tmp_path / "run").folder)
    data = model.compress(tmp_path / "a.npy", quality=5)
    back = model.decompress(data).values.reshape(model.modality.read(tmp_path / "a.npy").values.shape)
    error = back - model.modality.read(tmp_path / "a.npy").values
    low, high = recipe.modality.range
    assert np.abs(error).max() < 0.2 * (high - low)
    assert values.size < 3000 or 8 * len(data) < 4 * values.size


@pytest.mark.parametrize(("channels", "basis"), [(1, "none"), (5, "trained"), (16, "trained"), (17, "own")])
def test_channels_choose_the_basis(tmp_path: Path, channels: int, basis: str) -> None:
    import zarr

    array = zarr.create_array(
        tmp_path / "a.zarr", shape=(channels, 65, 70), dtype="float32", dimension_names=["channel", "y", "x"]
    )
    array[...] = np.random.default_rng(0).normal(size=(channels, 65, 70)).astype("float32")
    codec = load_recipe(write_recipe("mine", "array", tmp_path / "a.zarr", folder=tmp_path)).codec
    assert codec.encoder.basis == (basis if channels > 1 else "none")
    assert [tree.lapped for tree in codec.trees] == [0, 8, 0]


@pytest.mark.slow
def test_the_network_that_the_template_names_can_be_trained(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", wave((20, 24, 30)))
    text = write_recipe("mine", "array", tmp_path / "a.npy", folder=tmp_path).read_text()
    named = [line.split("#   ")[1].split("      #")[0] for line in text.splitlines() if line.startswith("#   ")]
    decoder, training = (line.split(": ", 1)[1] for line in named)
    few = training.replace("steps: 3000", "steps: 2").strip("{}").split(", ")
    settings = [f"codec.decoder={decoder}", "codec.trees=[]", *(f"training.{one.replace(': ', '=')}" for one in few)]
    recipe = load_recipe(tmp_path / "mine.yaml", [*settings, "training.warm_crops=2", "training.crop=[8]"])
    result = train(recipe, tmp_path / "a.npy", tmp_path / "run")
    assert result.finished and result.steps == 2
    behind = load(result.folder).codec.behind
    assert behind is not None and sum(each.numel() for each in behind.parameters()) > 10_000

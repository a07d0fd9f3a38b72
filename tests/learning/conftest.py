"""A tiny codec of pictures, a folder of labelled ones, and what networks are told of their inputs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import liveaction
from liveaction.codec.model import Model
from liveaction.learning.inputs import InputSpec

SETTINGS = [
    "codec.levels=2", "codec.latent_channels=7", "codec.wavelet=haar", "codec.encoder={kind: linear}",
    "codec.decoder={kind: linear}", "training.steps=0", "training.warm_crops=24", "training.crop=[16]",
]  # fmt: skip


def picture(kind: int, rng: np.random.Generator, shape: tuple[int, int] = (33, 29)) -> np.ndarray:
    """Stripes that lie (0) or stand (1), of any phase, with noise, ``[y, x, 3]`` uint8."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    wave = np.sin((x if kind else y) * 1.1 + rng.uniform(0, 6))
    values = 120 + 60 * wave[..., None] * rng.uniform(0.6, 1, 3) + rng.normal(0, 12, (*shape, 3))
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``train`` and ``test`` with folders of two classes, 24 and 8 pictures each."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for split, count in (("train", 24), ("test", 8)):
        for kind, name in enumerate(("lying", "standing")):
            place = folder / split / name
            place.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(picture(kind, rng)).save(place / f"{number:02}.png")
    return folder


@pytest.fixture(scope="session")
def model(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A linear codec of pictures, reduction 48 to 7."""
    recipe = liveaction.load_recipe("rgb_light", SETTINGS)
    result = liveaction.train(recipe, pictures / "train", tmp_path_factory.mktemp("run") / "m", device="cpu")
    return liveaction.load(result.folder, device="cpu")


@pytest.fixture
def spec_of():
    """A function that makes a spec of so many channels on a grid."""

    def make(grid: tuple[int, ...] = (5, 7), channels: int = 3, **rest: Any) -> InputSpec:
        statistics = rest.pop(
            "statistics",
            {
                "mean": [float(k) for k in range(channels)],
                "deviation": [float(k) for k in range(channels)],
                "least": [-9.0] * channels,
                "most": [9.0] * channels,
            },
        )
        table = {"axes": ("z", "y", "x", "w")[: len(grid)], "factors": (8,) * len(grid), "task": "class", "outputs": 4}
        return InputSpec(channels=channels, grid=grid, statistics=statistics, **(table | rest))

    return make

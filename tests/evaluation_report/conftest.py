"""Items and exhibits of phantoms that stand-ins for codecs degraded: blur and noise that grow with the setting."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from liveaction.evaluation.exhibits import folder_of_item, folder_of_source, save_exhibits
from liveaction.evaluation.item import Measurement, Pace, Seconds, Source, Spent
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality

CIRCUMSTANCES = {"cpu": "A processor", "cores": 4, "gpu": None, "torch": "2.11", "commit": "abc1234"}


@dataclass(frozen=True)
class StandIn:
    """A codec that is none: ``worth`` dB better than the first, ``pace`` times as fast."""

    curve: str
    codec: str
    kind: str
    worth: float
    pace: float
    settings: tuple[float, ...]
    seeds: tuple[int, ...] = ()
    library: str | None = None
    span: tuple[float, float] = (12.0, 240.0)  # ratios


CODECS = (
    StandIn("ours", "ours small", "model", 1.0, 40, (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0), (1, 2)),
    StandIn("ours", "ours large", "model", 1.6, 6, (0.5, 1.0, 2.0, 4.0, 8.0), span=(40, 600)),
    StandIn("KLT", "KLT", "model", 0.2, 60, (0.5, 1.0, 2.0, 4.0, 8.0)),
    StandIn("x265 slow", "x265 slow", "baseline", 0.6, 0.3, (12, 18, 24, 30, 36), (), "PyAV 14, x265 3.5", (15, 300)),
    StandIn("JPEG 2000", "JPEG 2000", "baseline", 0.0, 1.5, (10, 20, 40, 80, 160), (), "imagecodecs 2025.1", (10, 160)),
    StandIn("<b>Zip & co</b>", "<b>Zip & co</b>", "baseline", -2.0, 3, (1, 2), (), "lib <script>alert(1)</script>"),
)


def spent(seconds: float) -> Spent:
    one = Seconds(median=seconds, least=0.9 * seconds, most=1.2 * seconds, runs=5)
    return Spent(wall=one, cpu=one)


def degraded(values, strength, seed):
    """Box blur over nearest neighbours, and noise, both by ``strength`` of the spread."""
    wide = values.astype(np.float64)
    soft = sum(np.roll(wide, shift, axis) for axis in range(1, wide.ndim) for shift in (-1, 1)) / (2 * (wide.ndim - 1))
    share = min(0.9, 3 * strength)
    noise = np.random.default_rng(seed).standard_normal(wide.shape) * strength * wide.std()
    limits = np.iinfo(values.dtype)
    return np.rint((1 - share) * wide + share * soft + noise).clip(limits.min, limits.max).astype(values.dtype)


def measures(one, two, limits):
    """Some of what ``Modality.compare`` gives; it takes longer."""
    error = one.astype(np.float64) - two
    mse = float(np.square(error).mean())
    peak = (limits[1] - limits[0]) ** 2
    psnr = 10 * math.log10(peak / mse) if mse else math.inf
    return {"psnr_normalised": psnr, "rmse": math.sqrt(mse), "max_error": float(np.abs(error).max())}


def make(recipe, name, extents, codecs=CODECS, shown=None):
    """Items of one source, with ``[(item, exhibits)]`` and the original's exhibits where ``shown`` is a folder."""
    modality = build_modality(load_recipe(recipe).modality)
    original = modality.synthetic(3, extents)
    limits = modality.range_of(original)
    bits = original.bits or 8 * np.dtype(original.dtype).itemsize
    source = Source(
        name=name, digest="0" * 64, part="", shape=original.values.shape, axes=original.axes, dtype=original.dtype,
        bits=bits, unit=original.unit, limits=limits,
    )  # fmt: skip
    amount, unit = modality.pace(original)
    items = []
    if shown:
        save_exhibits(modality.exhibits(original, original), folder_of_source(shown, source))
    for codec in codecs:
        for number, value in enumerate(codec.settings):
            for seed in codec.seeds or (None,):
                place = number / (len(codec.settings) - 1)
                per_element = bits / (codec.span[0] * (codec.span[1] / codec.span[0]) ** place)
                strength = (
                    0.004 * (bits / per_element) ** 0.5 * 10 ** (-codec.worth / 20) * (1 + 0.05 * ((seed or 1) - 1))
                )
                back = replace(original, values=degraded(original.values, strength, seed or 0))
                error = np.square(original.values.astype(float) - back.values).mean(
                    axis=tuple(k for k in range(back.values.ndim) if k != 1)
                )
                curve = [10 * math.log10((limits[1] - limits[0]) ** 2 / max(float(e), 1e-9)) for e in error]
                seconds = amount / codec.pace / (0.5 + place)
                item = Measurement(
                    curve=codec.curve, codec=codec.codec, kind=codec.kind, seed=seed,
                    setting="quantiser step" if codec.kind == "model" else "CRF", value=value,
                    recipe=recipe if codec.kind == "model" else None, library=codec.library, source=source,
                    bytes=round(per_element * original.values.size / 8), ratio=bits / per_element,
                    bits_per_element=per_element, metrics=measures(original.values, back.values, limits),
                    curves={} if len(original.shape) == 1 else {f"psnr_by_{original.axes[0]}": curve},
                    encode=spent(seconds), decode=spent(2 * seconds),
                    entropy_coding=spent(0.1 * seconds) if codec.kind == "model" else None,
                    entropy_decoding=spent(0.1 * seconds) if codec.kind == "model" else None,
                    pace=Pace(amount=amount, unit=unit),
                    macs={"encode": 120.0, "decode": 5400.0} if codec.kind == "model" else None,
                    transfers="none, all on the CPU", threads=1, circumstances=CIRCUMSTANCES,
                )  # fmt: skip
                items.append(item)
                if shown:
                    save_exhibits(modality.exhibits(back, original), folder_of_item(shown, item))
    return items


@pytest.fixture(scope="session")
def shown(tmp_path_factory) -> Path:
    """Exhibits of :func:`measured`."""
    return tmp_path_factory.mktemp("shown")


@pytest.fixture(scope="session")
def measured(shown) -> list[Measurement]:
    """Items of a volume, a clip, a picture of another codec list, and a recording."""
    some = tuple(codec for codec in CODECS if codec.curve != "JPEG 2000")
    return [
        *make("ct_smoke", "head & <neck>.nii.gz", (64, 64, 24), CODECS, shown),
        *make("video_smoke", "clip.mkv", (8, 48, 64), CODECS[:5], shown),
        *make("array_audio_smoke", "room.wav", (8000,), some, shown),
    ]

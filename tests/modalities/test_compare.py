"""Comparing goes slab by slab: the figures are those of the whole arrays at once."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from liveaction.errors import ShapeError
from liveaction.metrics import psnr, ssim
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality
from liveaction.signal import Signal


@pytest.fixture
def pair() -> tuple[Signal, Signal]:
    rng = np.random.default_rng(0)
    one = rng.normal(0, 900, (1, 9, 310, 400)).astype(np.float32)
    two = one + rng.normal(0, 40, one.shape).astype(np.float32)
    return tuple(Signal(v, ("x", "y", "z"), "HU", (1.0,) * 3, "float32") for v in (one, two))  # type: ignore[return-value]


@pytest.mark.parametrize("gaps", [False, True], ids=["whole", "missing"])
@pytest.mark.parametrize("view", [False, True], ids=["contiguous", "view"])
def test_compare_is_that_of_whole_arrays(pair: tuple[Signal, Signal], gaps: bool, view: bool) -> None:
    ct = build_modality(load_recipe("ct_smoke").modality)
    one, two = pair
    if view:  # as a clip on disk is
        one = replace(one, values=np.ascontiguousarray(one.values.swapaxes(0, 1)).swapaxes(0, 1))
    missing = np.zeros(one.values.shape, bool)
    if gaps:
        missing[:, 6:, 100:] = True
        one, two = replace(one, values=np.where(missing, np.nan, one.values), missing=missing), two
    report = ct.compare(one, two)
    a, b = one.values[~missing], two.values[~missing]
    x, y = ct.normalise(a, (-1024, 3071)), ct.normalise(b, (-1024, 3071))
    error = a.astype(np.float64) - b
    assert report["psnr_normalised"] == pytest.approx(psnr(x, y, 2.0), rel=1e-12)
    assert report["rmse"] == pytest.approx(math.sqrt(np.mean(error**2)), rel=1e-12)
    assert report["max_error"] == np.abs(error).max()
    assert report["clipped_share"] == pytest.approx(float((x.abs() == 1).double().mean()), rel=1e-12)
    assert ("ssim" in report) is not gaps
    if not gaps:
        whole = (torch.from_numpy(np.ascontiguousarray(s.values)).clamp(-1024, 3071) for s in (one, two))
        assert report["ssim"] == pytest.approx(ssim(*((w + 1024) * (2 / 4095) - 1 for w in whole), 2.0), abs=1e-7)


def test_nothing_measured_is_refused(pair: tuple[Signal, Signal]) -> None:
    ct = build_modality(load_recipe("ct_smoke").modality)
    one, two = (s.crop(slice(1), slice(2), slice(2)) for s in pair)
    with pytest.raises(ShapeError, match="expected values to compare, got none that were measured"):
        ct.compare(replace(one, missing=np.ones(one.values.shape, bool)), two)


def test_percentiles_of_a_view_are_those_of_its_copy(pair: tuple[Signal, Signal]) -> None:
    ct = build_modality(load_recipe("ct_smoke", ["modality.range={percentiles: [1, 99]}"]).modality)
    view = replace(pair[0], values=np.ascontiguousarray(pair[0].values.transpose(0, 3, 2, 1)).transpose(0, 3, 2, 1))
    assert not view.values.flags.c_contiguous
    assert ct.range_of(view) == ct.range_of(pair[0])

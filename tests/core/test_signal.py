"""Signals: what is missing, cropping, bits; missing values through a stream and through training."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from liveaction.codec.codec import build_codec
from liveaction.codec.model import Model
from liveaction.codec.stream import compress, decompress
from liveaction.errors import ShapeError, SpecError
from liveaction.mapped import is_mapped
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality
from liveaction.signal import Signal
from liveaction.training.data import Crops, find_items
from liveaction.training.loss import distortion

RECIPE = load_recipe("ct_klt", ["codec.levels=1", "codec.latent_channels=8", "training.crop=[8]"])
DIGEST = "0" * 64


def signal(values, **more):
    axes = ("x", "y", "z")[: values.ndim - 1]
    return Signal(values, axes, "HU", (1.0,) * len(axes), values.dtype.name, **more)


def test_what_is_missing_is_filled_from_the_nearest_along_the_first_axis_that_has_one():
    values = np.arange(24, dtype=np.int16).reshape(1, 6, 4)
    missing = np.zeros(values.shape, bool)
    missing[0, 1:3] = True  # two bad bands: the lower is nearer to 0, the upper to 3
    missing[0, :, 3] = True  # a border without data: nothing along the first axis
    filled = signal(values, missing=missing, no_data=-9).filled()
    assert filled[0, 1, :3].tolist() == values[0, 0, :3].tolist()
    assert filled[0, 2, :3].tolist() == values[0, 3, :3].tolist()
    assert filled[0, :, 3].tolist() == filled[0, :, 2].tolist()
    assert np.array_equal(filled[~missing], values[~missing])
    nothing = signal(values, missing=np.ones(values.shape, bool)).filled()
    assert not nothing.any()
    assert signal(values, missing=np.zeros(values.shape, bool)).filled() is values


@pytest.mark.parametrize("seed", range(5))
def test_filling_matches_a_search_by_hand(seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 1000, (1, 17)).astype(np.int32)
    missing = rng.random((1, 17)) < 0.6
    missing[0, rng.integers(17)] = False
    filled = signal(values, missing=missing).filled()
    there = np.flatnonzero(~missing[0])
    for i in range(17):
        nearest = min(there, key=lambda j: (abs(j - i), j > i))
        assert filled[0, i] == values[0, nearest]


def test_a_mask_has_the_shape_of_the_values_and_a_crop_takes_both():
    values = np.zeros((2, 5, 6), np.uint16)
    with pytest.raises(ShapeError, match=r"expected missing of shape \(2, 5, 6\), as the values, got \(5, 6\)"):
        signal(values, missing=np.zeros((5, 6), bool))
    part = signal(values, missing=values == 0).crop(slice(1, 3), slice(0, 6))
    assert part.values.shape == part.missing.shape == (2, 2, 6)
    assert signal(values, bits=10).native_bits == 600 and signal(values).native_bits == 960


@pytest.mark.parametrize("no_data", [-2000.0, float("nan")], ids=["number", "nan"])
def test_missing_values_come_back_exactly(no_data):
    model = Model(build_codec(RECIPE), RECIPE, DIGEST)
    dtype = np.int16 if no_data == no_data else np.float32
    rng = np.random.default_rng(0)
    values = rng.integers(-100, 100, (1, 9, 8, 7)).astype(dtype)
    missing = np.zeros(values.shape, bool)
    missing[0, 2] = missing[0, :, :, 6] = True
    values[missing] = np.array(no_data).astype(dtype)
    original = signal(values, missing=missing, no_data=no_data)
    data, _ = compress(original, model)
    back, _ = decompress(data, model)
    assert np.array_equal(back.missing, missing) and np.array_equal(
        back.values[missing], values[missing], equal_nan=True
    )
    assert not np.array_equal(back.values[~missing], values[~missing])
    report = build_modality(RECIPE.modality).compare(original, back)
    error = (back.values.astype(float) - values)[~missing]
    assert report["rmse"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-6)


def test_ranges_of_the_format_and_of_the_signal():
    values = np.linspace(0, 1000, 1001).astype(np.int16).reshape(1, 7, 11, 13)

    def limits(setting, **more):
        modality = build_modality(load_recipe("ct_klt", [f"modality.range={setting}"]).modality)
        return modality.range_of(replace(signal(values), **more))

    assert limits("native") == (-32768, 32767)
    assert limits("native", bits=12) == (-2048, 2047)
    assert limits("native", dtype="uint16", bits=10) == (0, 1023)
    assert limits("{percentiles: [10, 90]}") == pytest.approx((100, 900), abs=1)
    assert limits("{percentiles: [10, 90]}", missing=values > 500) == pytest.approx((50, 450), abs=1)
    assert limits("{percentiles: [0, 100]}", values=np.full_like(values, 5)) == (5, math.nextafter(5, 6))
    rare = np.where(values == 7, 9, 2).astype(np.int16)
    assert limits("{percentiles: [10, 90]}", values=rare) == (2, 9)
    assert limits("{percentiles: [10, 90]}", values=rare, missing=rare == 9) == (2, math.nextafter(2, 3))
    assert limits("{percentiles: [10, 90]}", values=rare, missing=rare > 0) == (0, 1)
    with pytest.raises(SpecError, match="which is for integers"):
        limits("native", dtype="float32")
    with pytest.raises(SpecError, match="low < high"):
        limits("{percentiles: [90, 10]}")


def test_a_range_of_its_own_travels_with_the_stream():
    recipe = load_recipe("ct_klt", ["codec.levels=1", "codec.latent_channels=8", "training.crop=[8]",
                                    "modality.range={percentiles: [0, 100]}"])  # fmt: skip
    model = Model(build_codec(recipe), recipe, DIGEST)
    for low, high in ((0, 50), (-1000, 30000)):
        values = np.random.default_rng(0).integers(low, high, (1, 8, 8, 8)).astype(np.int16)
        back, _ = decompress(compress(signal(values), model)[0], model)
        assert values.min() <= back.values.min() and back.values.max() <= values.max()


def test_what_is_missing_counts_in_no_loss():
    x, y = torch.randn(2, 1, 3, 4, 5)
    known = (torch.rand(x.shape) < 0.5).float()
    expected = torch.log10(((x - y)[known == 1] ** 2).mean())
    assert float(distortion(x, y, known)) == pytest.approx(float(expected), abs=1e-6)
    assert float(distortion(x, y, torch.ones_like(x))) == pytest.approx(float(distortion(x, y)), abs=1e-6)
    assert float(distortion(x, y, torch.zeros_like(x))) == pytest.approx(-10)


def test_crops_know_what_is_missing(tmp_path, monkeypatch):
    modality = build_modality(RECIPE.modality)
    values = np.random.default_rng(0).integers(-900, 900, (1, 12, 12, 12)).astype(np.int16)
    missing = np.zeros(values.shape, bool)
    missing[0, 6:] = True
    original = replace(modality.synthetic(0, (12, 12, 12)), values=values, missing=missing, no_data=-9)
    monkeypatch.setattr(modality, "synthetic", lambda seed: original if seed else replace(original, missing=None))
    crops = Crops(modality, find_items(modality, ["synthetic:1:1"]), tmp_path)
    batch = crops.batch([(1, i) for i in range(6)], (8, 8, 8))
    assert batch.known.shape == batch.x.shape and set(batch.known.unique().tolist()) == {0.0, 1.0}
    assert (batch.x[batch.known == 0].abs() < 1).all()  # filled, not -9 among the measured
    both = Crops(modality, find_items(modality, ["synthetic:2:0"]), tmp_path)
    mixed = both.batch([(2, i) for i in range(12)], (8, 8, 8))
    assert {float(k.mean()) == 1.0 for k in mixed.known} == {True, False}
    assert both.batch([(3,)], (16, 8, 8)).x.shape == (1, 1, 16, 8, 8)


def test_large_values_come_back_in_a_mapped_file(monkeypatch):
    model = Model(build_codec(RECIPE), RECIPE, DIGEST)
    values = np.random.default_rng(0).integers(-100, 100, (1, 9, 8, 7)).astype(np.int16)
    data, _ = compress(signal(values), model)
    plain, _ = decompress(data, model)
    monkeypatch.setattr("liveaction.mapped.LARGE", 100)
    mapped, _ = decompress(data, model)
    assert isinstance(mapped.values, np.memmap) and np.array_equal(mapped.values, plain.values)


@pytest.mark.parametrize("large", [False, True])
def test_filling_part_by_part_is_filling_at_once(monkeypatch, large):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 1000, (2, 7, 6, 5)).astype(np.int16)
    missing = rng.random(values.shape) < 0.7
    missing[:, :, 2:4] = True
    missing[1, :, :, 1] = True
    wanted = signal(values, missing=missing).filled()
    monkeypatch.setattr("liveaction.mapped.PART", 20)
    monkeypatch.setattr("liveaction.mapped.LARGE", 8 if large else 1 << 20)
    filled = signal(values, missing=missing).filled()
    np.testing.assert_array_equal(filled, wanted)
    assert is_mapped(filled) is large

"""Ranges: constants of any size and dtype come back exactly; what lies close together far from 0; what is clipped."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from liveaction.archive.manifest import Entry, _parse
from liveaction.cli.main import app
from liveaction.cli.options import percent
from liveaction.codec.codec import build_codec
from liveaction.codec.header import parse_header
from liveaction.codec.model import Model
from liveaction.codec.stream import compress, decompress
from liveaction.codec.weights import save_model
from liveaction.coding.container import ContainerReader
from liveaction.coding.source import Source
from liveaction.errors import FormatError
from liveaction.modalities.array.template import _outward
from liveaction.modalities.base import Modality
from liveaction.modalities.ranges import constant_range, is_constant
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality
from liveaction.signal import Signal

OVERRIDES = ["codec.levels=1", "codec.latent_channels=8", "training.crop=[8]"]
CONSTANTS = [
    *[("float32", value) for value in (0.0, -0.5, 1e17, 1e36, -3e38, 1e-42)],
    *[("float64", value) for value in (1 / 3, -1e17 / 3, 1e300, 1e-310)],
    *[("int64", value) for value in (0, 5, 2**53 + 1, -(2**60) - 3, 2**63 - 1, -(2**63))],
    *[("uint64", value) for value in (2**64 - 1, 2**63 + 5)],
    *[("int16", -32768), ("uint8", 255), ("float16", 65504.0)],
]


def _signal(values: np.ndarray, **more: Any) -> Signal:
    axes = ("x", "y", "z")[: values.ndim - 1]
    return Signal(values, axes, "HU", (1.0,) * len(axes), values.dtype.name, **more)


def _modality(percentiles: tuple[float, float] = (0.1, 99.9)) -> Modality:
    return build_modality(load_recipe("ct_klt", [f"modality.range={{percentiles: {list(percentiles)}}}"]).modality)


@pytest.fixture(scope="module")
def model() -> Model:
    recipe = load_recipe("ct_klt", [*OVERRIDES, "modality.range={percentiles: [1, 99]}"])
    return Model(build_codec(recipe), recipe, "0" * 64)


@pytest.mark.parametrize(("dtype", "value"), CONSTANTS)
def test_a_constant_comes_back_exactly(model: Model, dtype: str, value: Any) -> None:
    signal = _signal(np.full((1, 8, 7, 9), value, dtype))
    modality = model.modality
    limits = modality.range_of(signal)
    assert is_constant(limits) and limits[0] == signal.values.flat[0]
    assert not modality.normalise(signal.values, limits).any()
    np.testing.assert_array_equal(modality.denormalise(torch.randn(1, 8, 7, 9), dtype, limits), signal.values)
    data, _ = compress(signal, model)
    back, _ = decompress(data, model)
    np.testing.assert_array_equal(back.values, signal.values)
    assert modality.compare(signal, back)["psnr_normalised"] == math.inf


@pytest.mark.parametrize("kind", ["music", "array", "hyperspectral", "mri"])
def test_constants_of_every_modality_with_percentiles_come_back(kind: str) -> None:
    spec = load_recipe(f"{kind}_smoke", ["modality.range={percentiles: [0, 100]}"]).modality
    modality = build_modality(spec)
    values = np.full((spec.channels, *(5,) * len(spec.axes)), 1e17, np.float32)
    signal = Signal(values, spec.axes, "", (1.0,) * len(spec.axes), "float32")
    limits = modality.range_of(signal)
    x = modality.normalise(values, limits)
    assert not x.any()
    np.testing.assert_array_equal(modality.denormalise(x, "float32", limits), values)


def test_one_value_beside_a_constant_is_no_constant() -> None:
    values = np.full((1, 20, 20, 20), 1e17)
    values[0, 3, 4, 5] = 3e17
    modality = _modality()
    limits = modality.range_of(_signal(values))
    assert limits == (1e17, 3e17)
    back = modality.denormalise(modality.normalise(values, limits), "float64", limits)
    np.testing.assert_allclose(back, values, rtol=1e-6)
    assert modality.range_of(_signal(values, missing=values > 2e17)) == constant_range(1e17)


@pytest.mark.parametrize(
    ("offset", "width", "dtype"),
    [(1e17, 1e4, "float64"), (2**60, 2**20, "int64"), (0, 1e-40, "float32"), (0, 1e-310, "f8")],
)
def test_close_values_far_from_0_or_next_to_it_keep_what_24_bits_hold(offset: float, width: float, dtype: str) -> None:
    values = (np.linspace(0, 1, 1000) * width).astype(dtype).reshape(1, 10, 10, 10) + np.array(offset, dtype)
    modality = _modality((0, 100))
    limits = modality.range_of(_signal(values))
    x = modality.normalise(values, limits)
    assert (float(x.min()), float(x.max())) == (-1, 1)
    back = modality.denormalise(x, np.dtype(dtype).name, limits)
    assert np.abs((back - values).astype(np.float64)).max() <= width * 2**-10


def test_a_range_beyond_float32_is_refused() -> None:
    with pytest.raises(FormatError, match=r"percentiles within ±2\*\*127, got -1e\+200 and 1e\+200; scale the values"):
        _modality((0, 100)).range_of(_signal(np.array([-1e200, 1e200]).reshape(1, 2, 1, 1)))


def test_the_header_of_a_constant_says_it_exactly(model: Model) -> None:
    value = 2**60 + 1
    data, _ = compress(_signal(np.full((1, 8, 8, 8), value, np.int64)), model)
    with Source(data) as source:
        container = ContainerReader(source, "here")
        assert container.header["range"] == [value, math.nextafter(float(value), math.inf)]
        assert parse_header(container.header, container.chunks, "here").range[0] == value
        wide = {**container.header, "range": [-1e300, 1e300]}
        with pytest.raises(FormatError, match="expected a range within what float32 holds"):
            parse_header(wide, container.chunks, "here")


def test_a_template_of_a_constant_has_a_range() -> None:
    for value in (0.0, 5.0, 1e17, -1e36):
        low, high = _outward(value, value)
        assert low < value < high
    assert _outward(5, 5) == (4, 6)


def test_what_is_clipped_is_counted_where_it_is_measured() -> None:
    values = np.array([-5, -1, 0, 1, 2, 9], np.int16).reshape(1, 6, 1, 1)
    ct, missing = _modality(), np.zeros((1, 6, 1, 1), bool)
    missing[0, 5] = True
    assert ct.count_outside(values, (-1, 1)) == 3
    assert ct.count_outside(values, (-1, 1), missing) == 2


@pytest.mark.parametrize(
    ("share", "words"),
    [(0.0002, "0.02 %"), (0.125, "12 %"), (1.0, "100 %"), (0.99999, "99.999 %"), (1e-9, "1e-07 %")],
)
def test_shares_in_per_cent(share: float, words: str) -> None:
    assert percent(share) == words


def test_compress_says_what_is_clipped_and_missing(tmp_path: Any) -> None:
    recipe = load_recipe("array_smoke", ["modality.range=[-1, 1]", "modality.options={no_data: 7}"])
    save_model(build_codec(recipe), recipe, tmp_path / "model")
    shape = (8,) * len(recipe.modality.axes)
    values = np.zeros(shape if recipe.modality.channels == 1 else (recipe.modality.channels, *shape), np.float32)
    values.reshape(-1)[:4] = 3, 3, 7, 7
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "a.npy", values)
    there = values.size - 2

    def invoke(*words: object) -> str:
        done = CliRunner().invoke(app, ["compress", *map(str, words), "-m", str(tmp_path / "model"), "-q"])
        assert done.exit_code == 0, done.output
        return done.stdout

    said = invoke(tmp_path / "in" / "a.npy", tmp_path / "a.lva")
    assert f"\n{percent(2 / there)} of the values lie outside -1 to 1 dB and are clipped\n" in said
    assert f"\n{percent(2 / values.size)} of the values are missing, 7 stands there and comes back\n" in said
    report = json.loads(invoke(tmp_path / "in" / "a.npy", tmp_path / "b.lva", "--json"))
    assert report["clipped_share"] == 2 / there and report["missing_share"] == pytest.approx(2 / values.size)
    said = invoke(tmp_path / "in", tmp_path / "out")
    assert f"; {percent(2 / there)} of the values lie outside their range and are clipped" in said
    assert f"; {percent(2 / values.size)} of the values are missing and come back" in said
    (line,) = (tmp_path / "out" / "manifest.jsonl").read_bytes().splitlines()
    assert _parse(line, "here").clipped_share == 2 / there
    assert _parse(line, "here").missing_share == pytest.approx(2 / values.size)
    landed = {key: value for key, value in json.loads(line).items() if key != "clipped_share"}
    assert _parse(json.dumps(landed).encode(), "here").clipped_share == Entry("", "", "ok").clipped_share == 0

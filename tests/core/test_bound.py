"""Streams with a bound on the error of every value: any dtype, extremes, masks, regions, damage, other machines."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch

from liveaction.codec import bound as bounds
from liveaction.codec.bound import bound_for, decode_bounded, encode_bounded
from liveaction.codec.codec import build_codec
from liveaction.codec.info import read_info
from liveaction.codec.model import Model, verify
from liveaction.codec.stream import compress, compress_file, decompress, open_reader
from liveaction.codec.weights import weights_digest
from liveaction.coding.container import ContainerReader, ContainerWriter
from liveaction.errors import FormatError, IntegrityError, SpecError
from liveaction.recipe import dump_recipe, load_recipe
from liveaction.signal import Signal
from liveaction.spec import Recipe

AXES = ("t", "z", "y", "x")


def model_of(axes, basis="none", channels=1, limits=(-1000.0, 3000.0), **codec):
    """A sparse model that nothing was fitted to."""
    recipe = Recipe.model_validate(
        {
            "name": "bounded",
            "modality": {
                "name": "array",
                "axes": list(AXES[4 - axes :]),
                "channels": 0 if basis == "own" else channels,
                "range": limits,
            },
            "codec": {
                "wavelet": "bior4.4",
                "levels": 2,
                "continuation": 1,
                "encoder": {"kind": "sparse", "basis": basis},
                "decoder": {"kind": "linear"},
                "quantizer": {"kind": "uniform", "step": 0.02},
            }
            | codec,
            "training": {"steps": 0, "crop": [64 if "lapped" in codec else 16], "start": "warm"},
        }
    )
    torch.manual_seed(0)
    codec = build_codec(recipe).eval().requires_grad_(False)
    return Model(codec, recipe, weights_digest(codec, dump_recipe(recipe)))


def signal_of(model, values, missing=None):
    return Signal(
        values, tuple(model.recipe.modality.axes), "HU", (1.0,) * (values.ndim - 1), values.dtype.name, missing=missing
    )


def smooth(shape, dtype, seed=0, low=-1000.0, high=3000.0, noise=8.0):
    rng = np.random.default_rng(seed)
    places = np.meshgrid(*(np.linspace(0, 3, n) for n in shape[1:]), indexing="ij")
    field = np.sin(sum(places)) + 0.2 * np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    values = (low + high) / 2 + (high - low) / 5 * field + noise * rng.standard_normal(shape)
    return np.rint(values).astype(dtype) if np.dtype(dtype).kind in "iu" else values.astype(dtype)


def largest_error(one, two, missing=None):
    """In exact integers where they are integers."""
    there = slice(None) if missing is None else ~missing
    if one.dtype.kind == "f":
        return np.abs(one.astype(np.float64) - two.astype(np.float64))[there].max()
    pairs = zip(one[there].ravel().tolist(), two[there].ravel().tolist(), strict=True)
    return max(abs(a - b) for a, b in pairs)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
@pytest.mark.parametrize("error", [0, 1, 7.5])
def test_integers_stay_within_the_bound_extremes_among_them(dtype, error):
    info = np.iinfo(dtype)
    limits = (max(-1000.0, float(info.min)), min(3000.0, float(info.max)))
    model = model_of(2, limits=limits)
    values = smooth((1, 37, 29), dtype, low=limits[0], high=limits[1], noise=3)
    values[0, 0, :3] = info.min, info.max, info.max - 1
    values[0, -1, -1] = info.min
    data, _ = compress(signal_of(model, values), model, max_error=error)
    back, _ = decompress(data, model)
    assert back.values.dtype == values.dtype
    assert largest_error(values, back.values) <= error
    if not error:
        np.testing.assert_array_equal(back.values, values)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("error", [0.01, 2.0])
def test_floats_stay_within_the_bound(dtype, error):
    model = model_of(2, limits=(-10.0, 10.0))
    values = smooth((1, 41, 23), dtype, low=-10, high=10, noise=0.1)
    values[0, 0, :4] = np.finfo(dtype).max, np.finfo(dtype).min, np.finfo(dtype).tiny, -0.0
    data, _ = compress(signal_of(model, values), model, max_error=error)
    back, _ = decompress(data, model)
    assert largest_error(values, back.values) <= error


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders_come_back(order):
    model = model_of(2)
    values = smooth((1, 20, 22), "int16").astype(np.dtype("int16").newbyteorder(order))
    data, _ = compress(signal_of(model, values), model, max_error=0)
    np.testing.assert_array_equal(decompress(data, model)[0].values, values)


SHAPES = [(1, 1), (1, 7, 1), (1, 63, 65), (1, 9, 31, 17), (1, 3, 5, 9, 11)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_any_extents_and_regions_are_lossless(shape, monkeypatch):
    model = model_of(len(shape) - 1)
    values = smooth(shape, "int16")
    data, _ = compress(signal_of(model, values), model, max_error=0)
    np.testing.assert_array_equal(decompress(data, model)[0].values, values)
    box = tuple((n // 3, n // 3 + max(1, n // 2)) for n in shape[1:])
    region, _ = decompress(data, model, region=box)
    np.testing.assert_array_equal(region.values, values[(slice(None), *(slice(*ends) for ends in box))])


@pytest.mark.parametrize("kind", ["own", "lapped", "small", "fast"])
def test_every_kind_of_codec_without_a_network(kind):
    model = {
        "own": lambda: model_of(2, basis="own"),
        "lapped": lambda: model_of(1, wavelet="bior4.4", levels=0, lapped=[64], continuation=0),
    }.get(kind, lambda: model_of(2))()
    shape = {"own": (12, 33, 31), "lapped": (1, 1000)}.get(kind, (1, 40, 41))
    values = smooth(shape, "int16")
    data, _ = compress(signal_of(model, values), model, max_error=0, coder="fast", fast=kind == "fast")
    np.testing.assert_array_equal(decompress(data, model)[0].values, values)


@pytest.mark.parametrize("error", [0, 3])
def test_missing_values_come_back_and_others_are_bounded(error):
    model, rng = model_of(2), np.random.default_rng(3)
    values = smooth((1, 50, 45), "float32" if error else "int16")
    missing = rng.random(values.shape) < 0.3
    values[missing] = np.nan if error else -9999
    signal = replace(signal_of(model, values, missing), no_data=float("nan") if error else -9999.0)
    data, _ = compress(signal, model, max_error=error)
    back, _ = decompress(data, model)
    np.testing.assert_array_equal(back.missing, missing)
    assert largest_error(values, back.values, missing) <= error
    np.testing.assert_array_equal(np.isnan(back.values) if error else back.values == -9999, missing)


def test_a_constant_and_a_value_beyond_float64():
    model = model_of(2, limits={"percentiles": [0, 100]})
    for value in (7, 2**60 + 1):
        values = np.full((1, 20, 20), value, np.int64)
        data, _ = compress(signal_of(model, values), model, max_error=0)
        np.testing.assert_array_equal(decompress(data, model)[0].values, values)


def test_windows_are_decoded_as_the_encoder_saw_them(monkeypatch):
    monkeypatch.setattr("liveaction.codec.grid.WINDOW_SAMPLES", 2**10)
    model = model_of(2)
    values = smooth((1, 300, 260), "int16")
    data, _ = compress(signal_of(model, values), model, max_error=0)
    with open_reader(data, model) as reader:
        assert reader.layout.count_windows() == 4
    np.testing.assert_array_equal(decompress(data, model)[0].values, values)


@pytest.mark.parametrize("shift", [-0.99, 0.99])
@pytest.mark.parametrize("error", [0.0, 2.0])
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_decoders_that_differ_by_the_margin_give_the_same_values(dtype, error, shift):
    values = smooth((1, 60, 70), dtype)
    bound = bound_for(error or (0 if dtype == "int16" else 0.01), values.dtype, (-1000.0, 3000.0))
    decoded = values + np.random.default_rng(4).normal(0, 3, values.shape)
    data = encode_bounded(values, decoded, None, bound)
    back = decode_bounded(data, decoded + shift * bound.margin, None, bound, values.dtype, "chunk")
    np.testing.assert_array_equal(back, decode_bounded(data, decoded, None, bound, values.dtype, "chunk"))
    assert largest_error(values, back) <= bound.error


def test_a_decoder_that_differs_by_more_is_told():
    values = smooth((1, 60, 70), "int16")
    bound = bound_for(2, values.dtype, (-1000.0, 3000.0))
    decoded = values + np.random.default_rng(4).normal(0, 3, values.shape)
    data = encode_bounded(values, decoded, None, bound)
    with pytest.raises(IntegrityError, match="expected the values that were written"):
        decode_bounded(data, decoded + 0.5, None, bound, values.dtype, "chunk")


def test_the_margin_is_far_above_what_another_order_of_sums_makes():
    """Decoding in float64 differs from dense matrices, summed backwards, by a hundredth of the margin at most."""
    model = model_of(3)
    values = smooth((1, 40, 37, 33), "int16")
    data, _ = compress(signal_of(model, values), model, max_error=0)
    with open_reader(data, model) as reader:
        window = next(reader.layout.windows())
        one = reader.unrounded(window)
        with torch.no_grad():
            from liveaction.kernels.wavelet_packet import synthesis_matrix

            latents, _, _ = reader._collect(window)
            codec = model.codec
            v = codec.coefficients(torch.from_numpy(latents)[None])
            extents = tuple(n * f for n, f in zip(v.shape[2:], codec.packets.factors, strict=True))
            plan = codec.packets._plan(1, extents, v)
            y = v[:, plan.back]
            for axis, tables in reversed(plan.stages):
                bands = y.unflatten(1, (-1, tables.factor)).movedim((2, axis + 3), (-2, -1)).flatten(-2)
                backwards = synthesis_matrix(tables, bands.shape[-1]).flip(1), bands.flip(-1)
                y = torch.einsum("nm,bc...m->bc...n", *backwards).movedim(-1, axis + 2)
            x = y[0].numpy()[:, :40, :37, :33]
        two = bounds.mapped(x, reader.header.range)
        margin = reader.header.bound.margin
    assert 0 < np.abs(one - two).max() < margin / 100


def test_what_the_file_says_and_verify_checks(tmp_path):
    model = model_of(2)
    values = smooth((1, 64, 64), "int16")
    written = compress_file(signal_of(model, values), tmp_path / "a.lva", model, max_error=0)
    assert written.bound is not None and written.bound.lossless and written.clipped_share == 0
    assert read_info(tmp_path / "a.lva")["bound"]["error"] == 0
    found = verify(tmp_path / "a.lva", model)
    assert not found.damaged
    np.testing.assert_array_equal(found.decoded.values, values)
    compress_file(signal_of(model, values), tmp_path / "b.lva", model)
    assert read_info(tmp_path / "b.lva")["bound"] is None


def with_residuals_changed(data, change):
    """A stream whose chunks are put back with other bytes, checksums right."""
    from liveaction.codec.chunks import unpack_bounded, with_residual

    container, file = ContainerReader(data, "stream"), io.BytesIO()
    writer = ContainerWriter(file, container.header, container.chunks, container.side)
    for number in range(container.chunks):
        chunk = container.read(number, 1 << 30)
        left, coded = unpack_bounded(chunk, "chunk")
        begin = len(chunk) - len(coded) - len(left) - (1 if len(left) < 128 else 2 if len(left) < 16384 else 3)
        writer.add(with_residual(chunk[:begin] + b"\0" + coded, change(left)))
    writer.close()
    return file.getvalue()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda left: bytes([left[0] ^ 1]) + left[1:], "values that were written"),
        (lambda left: left[:4] + b"\x05" + left[5:], "kept as they are|residuals that end"),
        (lambda left: left[:4] + b"\xff" * 20, "how many values"),
        (lambda left: left[:2], "how many values"),
        (lambda left: b"", "how many values"),
        (lambda left: left[:-3], "written|residuals that end"),
    ],
)
def test_damage_is_one_line_or_filled(change, words):
    model = model_of(2)
    values = smooth((1, 40, 40), "int16")
    data, _ = compress(signal_of(model, values), model, max_error=0)
    assert with_residuals_changed(data, lambda left: left) == data
    wrong = with_residuals_changed(data, change)
    with pytest.raises(FormatError, match=words):
        decompress(wrong, model)
    with pytest.warns(UserWarning, match="damaged chunks are filled"):
        filled, _ = decompress(wrong, model, fill=-5)
    assert (filled.values == -5).all()


def test_damage_of_symbols_costs_its_chunk_and_windows_beside_it_are_approximations(monkeypatch):
    monkeypatch.setattr("liveaction.codec.grid.WINDOW_SAMPLES", 2**10)
    monkeypatch.setattr("liveaction.codec.grid.CHUNK_TOKENS", 16)
    model = model_of(2)
    values = smooth((1, 96, 96), "int16")
    data, _ = compress(signal_of(model, values), model, max_error=0)
    at = len(data) - 20
    wrong = data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :]
    with pytest.warns(UserWarning, match="damaged chunks are filled"):
        filled, _ = decompress(wrong, model, fill=-5)
    hole = filled.values == -5
    assert 0 < hole.sum() < values.size / 4
    np.testing.assert_array_equal(filled.values[:, :32, :32], values[:, :32, :32])


def test_what_cannot_be_promised_is_refused():
    model = model_of(2)
    floats = signal_of(model, smooth((1, 20, 20), "float32"))
    for error, words in ((0, "0, lossless, is for integers"), (1e-9, "expected at least"), (-1, "from 0 on")):
        with pytest.raises(SpecError, match=words):
            compress(floats, model, max_error=error)
    with pytest.raises(SpecError, match="--max-error, --target-psnr"):
        compress(floats, model, max_error=1, target_psnr=40)
    recipe = load_recipe("grey_smoke")
    torch.manual_seed(0)
    codec = build_codec(recipe).eval()
    network = Model(codec, recipe, weights_digest(codec, dump_recipe(recipe)))
    picture = Signal(np.zeros((1, 16, 16), np.uint8), ("y", "x"), "", (1.0, 1.0), "uint8")
    with pytest.raises(SpecError, match="codec without a network"):
        compress(picture, network, max_error=0)


def test_many_items_and_a_step_of_ones_own(tmp_path):
    model = model_of(2)
    signals = [signal_of(model, smooth((1, 30, 31 + n), "int16", seed=n)) for n in range(3)]
    data = model.compress_many(signals, ["a", "b", "c"], max_error=0, step=0.01)
    with model.open_many(data) as items:
        for signal, item in zip(signals, items, strict=True):
            assert item.header.step == 0.01
            np.testing.assert_array_equal(item[...], signal.values[0])


@pytest.mark.parametrize("basis", ["none", "own"])
def test_a_range_of_32_bits_is_lossless_though_fine_steps_are_out_of_reach(basis):
    model = model_of(2, basis=basis, limits=(float(-(2**31)), float(2**31 - 1)))
    values = smooth((5 if basis == "own" else 1, 40, 41), "int32", low=-(2.0**31), high=2.0**31 - 1, noise=1e5)
    data, _ = compress(signal_of(model, values), model, max_error=0)
    np.testing.assert_array_equal(decompress(data, model)[0].values, values)

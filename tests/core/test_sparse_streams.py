"""Streams of sparse codecs and of bases of a signal's own: any extents, regions, masks, damage, fast and careful."""

import io
import pickle
from math import prod

import numpy as np
import pytest
import torch

from liveaction.codec.codec import build_codec
from liveaction.codec.info import read_info
from liveaction.codec.model import Model, verify
from liveaction.codec.stream import compress, compress_file, decompress, open_reader
from liveaction.codec.weights import weights_digest
from liveaction.coding.container import ContainerReader, ContainerWriter
from liveaction.errors import FormatError, IntegrityError, SpecError
from liveaction.recipe import dump_recipe
from liveaction.signal import Signal
from liveaction.spec import Recipe

WEIGHT = 0.12
"""Squared steps that a bit is worth to ``compress``."""


def model_of(axes, channels=1, basis="none", **codec):
    """A sparse model of array signals that nothing was fitted to."""
    recipe = Recipe.model_validate(
        {
            "name": "sparse",
            "modality": {
                "name": "array",
                "axes": ["t", "z", "y", "x"][4 - axes :],
                "channels": 0 if basis == "own" else channels,
                "range": [-1, 1],
            },
            "codec": {
                "wavelet": "bior6.8",
                "levels": 1,
                "continuation": 1,
                "encoder": {"kind": "sparse", "basis": basis},
                "decoder": {"kind": "linear"},
                "quantizer": {"kind": "uniform", "step": 0.05},
            }
            | codec,
            "training": {"steps": 0, "crop": [8], "start": "warm"} | ({"crop": [192]} if "lapped" in codec else {}),
        }
    )
    torch.manual_seed(0)
    codec = build_codec(recipe).eval().requires_grad_(False)
    return Model(codec, recipe, weights_digest(codec, dump_recipe(recipe)))


def signal_of(model, channels, extents, seed=0, noise=0.02, missing=None):
    """Smooth channels that are mixtures of two fields, and noise."""
    rng = np.random.default_rng(seed)
    places = np.meshgrid(*(np.linspace(0, 3, n) for n in extents), indexing="ij")
    fields = np.stack([np.sin(sum(places) + seed), np.cos(2 * sum(places))])
    values = 0.4 * np.tensordot(rng.uniform(-1, 1, (channels, 2)), fields, 1) + noise * rng.standard_normal(
        (channels, *extents)
    )
    values = values.clip(-1, 1).astype(np.float32)
    if missing is not None:
        values[missing] = -9
    return Signal(
        values, model.recipe.modality.axes, "", (1.0,) * len(extents), "float32", missing=missing, no_data=-9.0
    )


def changed(data, **keys):
    """The same chunks and side bytes under another header."""
    container, file = ContainerReader(io.BytesIO(data), "x"), io.BytesIO()
    writer = ContainerWriter(file, {**container.header, **keys}, container.chunks, container.side)
    for number in range(container.chunks):
        writer.add(container.read(number))
    writer.close()
    return file.getvalue()


SIZES = [(1,), (7,), (65,), (1, 1), (7, 65), (65, 1), (7, 1, 65), (17, 9, 13), (2, 3, 7, 5), (7, 1, 9, 1)]
BANKS = {
    "packets": {"levels": 2, "continuation": 2},
    "lapped": {"levels": 0, "lapped": 4},
    "no continuation": {"continuation": 0},
}


@pytest.mark.parametrize("extents", SIZES, ids=str)
@pytest.mark.parametrize("bank", BANKS)
def test_any_extents_come_back_within_the_step(small, extents, bank):
    model = model_of(len(extents), **BANKS[bank])
    signal = signal_of(model, 1, extents)
    errors = []
    for step in (0.08, 0.01):
        for fast in (False, True):
            back, _ = decompress(compress(signal, model, step=step, fast=fast)[0], model)
            assert back.values.shape == signal.values.shape and back.values.dtype == np.float32
            errors.append(float(np.sqrt(np.mean((back.values - signal.values) ** 2))))
            assert errors[-1] < step  # of plain rounding a third of it
    assert errors[2] < 0.7 * errors[0] or errors[0] < 0.005


@pytest.mark.parametrize("channels", [1, 3, 7])
@pytest.mark.parametrize("extents", [(65,), (7, 33), (5, 1, 9)], ids=str)
def test_bases_of_a_signals_own_take_any_number_of_channels(small, channels, extents):
    model = model_of(len(extents), basis="own")
    signal = signal_of(model, channels, extents, noise=0.004)
    data = compress(signal, model, step=0.02)[0]
    with open_reader(data, model) as reader:
        header = reader.header
        assert header.shape == (channels, *extents) and 1 <= header.components <= channels
        assert header.latent_channels == header.components * 2 ** len(extents)
        assert reader.basis.channels == channels and reader.container.side
        back = reader.read()
    assert np.sqrt(np.mean((back.values - signal.values) ** 2)) < 0.02
    latents = model.encode(signal)
    components = latents.shape[1] // 2 ** len(extents)
    assert latents.shape == (1, components * 2 ** len(extents), *(-(-n // 2) for n in extents)) and components >= 1


def test_rotated_channels_come_back(small):
    model = model_of(2, 3, "trained", levels=0, lapped=8)
    signal = signal_of(model, 3, (65, 33))
    back, _ = decompress(compress(signal, model, step=0.02)[0], model)
    assert np.sqrt(np.mean((back.values - signal.values) ** 2)) < 0.02


@pytest.mark.parametrize("channels", [1, 3])
def test_a_constant_signal_has_no_component(small, tmp_path, channels):
    model = model_of(2, basis="own")
    values = np.full((channels, 65, 7), 0.25, np.float32) * np.arange(1, channels + 1, dtype=np.float32)[:, None, None]
    signal = Signal(values, model.recipe.modality.axes, "", (1.0, 1.0), "float32")
    written = compress_file(signal, tmp_path / "a.lva", model)
    assert written.components == 0 and written.bytes < 400
    info = read_info(tmp_path / "a.lva")
    assert info["components"] == 0 == info["latent_channels"] and info["bits_per_latent"] == 0
    back, _ = decompress(tmp_path / "a.lva", model)
    assert np.abs(back.values - values).max() < 0.01
    part, _ = decompress(tmp_path / "a.lva", model, region=((3, 60), (0, 1)))
    assert np.array_equal(part.values, back.values[:, 3:60, :1])
    assert verify(tmp_path / "a.lva", model).damaged == ()
    assert model.encode(signal).shape == (1, 0, 33, 4)


@pytest.mark.parametrize("basis", ["none", "own"])
@pytest.mark.parametrize("kind", ["scattered", "bad band", "border", "nothing there"])
def test_what_is_missing_is_missing_and_costs_no_quality(small, basis, kind):
    channels, extents = (3, (33, 21)) if basis == "own" else (1, (33, 21))
    missing = np.zeros((channels, *extents), bool)
    if kind == "scattered":
        missing[np.random.default_rng(1).random(missing.shape) < 0.1] = True
    elif kind == "bad band":
        missing[channels // 2] = True
    elif kind == "border":
        missing[:, 25:] = True
    else:
        missing[...] = True
    model = model_of(2, channels, basis)
    signal = signal_of(model, channels, extents, missing=missing)
    for fast in (False, True):
        back, _ = decompress(compress(signal, model, step=0.02, fast=fast)[0], model)
        assert np.array_equal(back.missing, missing) and (back.values[missing] == -9).all()
        there = ~missing
        if there.any():
            assert np.sqrt(np.mean((back.values - signal.values)[there] ** 2)) < 0.02


@pytest.mark.parametrize(
    ("channels", "basis", "extents", "codec"),
    [
        (1, "none", (33, 25, 13), {"levels": [2, 2, 1]}),
        (1, "none", (65, 63), {"levels": 0, "lapped": 4}),
        (3, "own", (65, 33), {"levels": 2, "continuation": 2}),
        (2, "own", (3001,), {"levels": 0, "lapped": 8}),
    ],
)
def test_a_region_has_the_samples_of_the_whole(small, channels, basis, extents, codec):
    model = model_of(len(extents), channels, basis, **codec)
    data = compress(signal_of(model, channels, extents), model)[0]
    whole, _ = decompress(data, model)
    with open_reader(data, model) as reader:
        assert reader.container.chunks > 3 and len(list(reader.layout.windows())) > 1
    for low in (0, 1, 7):
        box = tuple((min(low, n - 1), max(min(low, n - 1) + 1, n - low)) for n in extents)
        part, _ = decompress(data, model, region=box)
        assert np.array_equal(part.values, whole.values[(slice(None), *(slice(*ends) for ends in box))])
    with model.open(data) as view:
        assert np.array_equal(view[..., 3], (whole.values if basis == "own" else whole.values[0])[..., 3])


@pytest.mark.parametrize(("channels", "basis"), [(1, "none"), (3, "own")])
def test_damage_of_a_chunk_stays_local(small, channels, basis):
    model = model_of(2, channels, basis, continuation=2)
    data = compress(signal_of(model, channels, (120, 90)), model)[0]
    whole, _ = decompress(data, model)
    container = ContainerReader(io.BytesIO(data), "x")
    broken = bytearray(data)
    broken[container.entries[4].offset + 6] ^= 0x40
    with pytest.raises(IntegrityError, match=r"checksum .* of chunk 4.*; --fill VALUE decodes the rest"):
        decompress(bytes(broken), model)
    with open_reader(bytes(broken), model, fill=7.0) as reader:
        back = reader.read()
        assert list(reader.damaged) == [4]
        box, reach = reader.damaged[4].samples, [reader.layout.halo * f for f in reader.layout.factors]
    inside = tuple(slice(low, high) for low, high in box)
    assert (back.values[(slice(None), *inside)] == 7).all()
    near = np.zeros(whole.shape, bool)
    near[tuple(slice(max(low - r, 0), high + r) for (low, high), r in zip(box, reach, strict=True))] = True
    assert 0 < near.mean() < 0.7 and np.array_equal(back.values[:, ~near], whole.values[:, ~near])


@pytest.mark.parametrize(
    ("channels", "basis", "codec"),
    [
        (1, "none", {"levels": 2}),
        (1, "none", {"levels": 0, "lapped": 8}),
        (4, "own", {"levels": 0, "lapped": 8}),
    ],
)
def test_weighing_costs_pays(channels, basis, codec):
    model = model_of(2, channels, basis, **codec)
    step, costs = 0.06, {False: [], True: []}
    for seed in range(4):
        signal = signal_of(model, channels, (65, 63), seed, noise=0.03)
        for fast, found in costs.items():
            data = compress(signal, model, step=step, fast=fast)[0]
            error = float(np.mean((decompress(data, model)[0].values - signal.values) ** 2))
            found.append(error + WEIGHT * step**2 * 8 * len(data) / prod(signal.values.shape))
    assert np.mean(costs[False]) < 0.99 * np.mean(costs[True])


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("basis", ["none", "own"])
def test_a_step_too_small_is_one_line_that_names_one_that_is_not(fast, basis):
    model = model_of(1, basis=basis)
    signal = signal_of(model, 1, (65,))
    with pytest.raises(SpecError, match=r"with step 1e-09; take a step of at least [\de.-]+$") as caught:
        compress(signal, model, step=1e-9, fast=fast)
    enough = float(str(caught.value).split()[-1])
    back, _ = decompress(compress(signal, model, step=enough, fast=fast)[0], model)
    assert np.abs(back.values - signal.values).max() < 1e-5


def test_a_model_with_bases_of_their_own_is_pickled():
    model = model_of(1, basis="own")
    signal = signal_of(model, 3, (65,))
    data = compress(signal, model)[0]
    other = pickle.loads(pickle.dumps(model))
    assert compress(signal, other)[0] == data
    assert np.array_equal(decompress(data, other)[0].values, decompress(data, model)[0].values)


def test_side_bytes_and_components_belong_together():
    model = model_of(2, basis="own")
    data = compress(signal_of(model, 3, (17, 9)), model)[0]
    header = ContainerReader(io.BytesIO(data), "x").header
    components, latents = header["components"], header["latent_channels"]
    per = latents // components
    for keys in (
        {"components": components + 1, "latent_channels": latents + per},
        {"components": 0, "latent_channels": 0},
        {"shape": [2, 17, 9]},
        {"components": components, "latent_channels": latents + per},
    ):
        with pytest.raises(FormatError, match="expected"):
            decompress(changed(data, **keys), model)
    plain = model_of(2)
    with pytest.raises(FormatError, match=r"and 0 components, as recipe 'sparse' has, got 1, 4, \(2, 2\) and 1"):
        decompress(changed(compress(signal_of(plain, 1, (17, 9)), plain)[0], components=1), plain)

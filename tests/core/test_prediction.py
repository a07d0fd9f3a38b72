"""The predict step: octaves and networks by themselves, and chunks that are coded in a closed loop."""

from math import prod

import numpy as np
import pytest
import torch

from liveaction.codec import grid
from liveaction.codec.codec import Codec, build_codec
from liveaction.codec.model import load
from liveaction.codec.prediction import Prediction
from liveaction.codec.summary import summarise
from liveaction.codec.weights import read_model, save_model, weights_digest
from liveaction.coding.fast import FastDecoder, FastEncoder
from liveaction.errors import FormatError, SpecError
from liveaction.nn.predict import Refiner
from liveaction.recipe import dump_recipe, parse_recipe
from liveaction.transforms.continuation import Continuation
from liveaction.transforms.octaves import Octaves, band_numbers
from liveaction.transforms.packet import WaveletPacket
from tests.core.test_sparse_streams import model_of, signal_of

BANKS = [((2, 1, 3), ()), ((0, 0, 1), (8, 4, 0)), ((2, 2), ()), ((3,), ()), ((1, 0, 1, 1), ())]
STEP = 0.05


def predicted(axes, channels=1, basis="none", random=True, **codec):
    """A codec with a predict step whose networks say something, unless not ``random``."""
    encoder = {"kind": "predicted", "basis": basis, "width": 4, "kernels": [3, 3]}
    model = model_of(axes, channels, basis, **{"encoder": encoder, **codec})
    if random:
        for tree in model.codec.trees:
            for network in tree.predictor.networks:
                torch.nn.init.normal_(network.weights[-1], 0, 0.05)
    return model


def latents_of(codec: Codec, extents, components=1, seed=0):
    """Smooth signals' latents ``[K L, *c]``."""
    rng = np.random.default_rng(seed)
    shape = [n * f for n, f in zip(extents, codec.packets.factors, strict=True)]
    x = rng.standard_normal((components, codec.channels, *shape))
    for axis in range(2, x.ndim):
        x = np.cumsum(x, axis)
    x = torch.from_numpy((x / np.abs(x).max()).astype(np.float32))
    return codec.encode(x).flatten(0, 1).numpy()


@pytest.mark.parametrize(("levels", "lapped"), BANKS, ids=str)
def test_octaves_take_a_signal_apart_and_put_it_together(levels, lapped):
    packets = WaveletPacket("bior4.4", levels, lapped=lapped)
    octaves = Octaves(packets)
    x = torch.randn(2, 3, *(4 * factor for factor in packets.factors))
    y = packets(x).unflatten(1, (3, -1))
    bands = [y[:, :, :1], *(y[:, :, torch.from_numpy(members)] for members in octaves.members)]
    assert sorted([0, *np.concatenate(octaves.members).tolist()]) == list(range(packets.bands))
    assert torch.allclose(octaves.signal(bands), x, atol=1e-4)
    for k in range(len(octaves.members)):
        coarse = octaves.signal(bands[: k + 2])
        assert coarse.shape[2:] == tuple(4 * min(2 ** (k + 1), factor) for factor in packets.factors)
        assert torch.allclose(octaves.bands(coarse, k), bands[k + 1], atol=1e-4)


def test_bands_have_the_numbers_that_single_axes_give_them():
    packets, x = WaveletPacket("bior4.4", (2, 1, 3)), torch.randn(8, 4, 16)
    y = packets(x[None, None])[0]

    def along(x, levels, axis):
        last = x.movedim(axis, -1)
        bands = WaveletPacket("bior4.4", (levels,))(last.reshape(-1, 1, last.shape[-1]))
        return bands.unflatten(0, last.shape[:-1]).movedim(-1, axis).movedim(-1, 0)

    for number, (i, j, k) in enumerate(band_numbers(packets)):
        assert torch.allclose(along(along(along(x, 2, 0)[i], 1, 1)[j], 3, 2)[k], y[number], atol=1e-4)


@pytest.mark.parametrize("extents", [(1,), (7,), (300,), (6, 5), (4, 3, 7)], ids=str)
def test_details_are_those_of_a_split_and_have_gradients(extents):
    step = tuple(i != 1 for i in range(len(extents)))
    continuation, x = Continuation("bior6.8", (step,)), torch.randn(3, *extents, requires_grad=True)
    made = continuation.details(x, step)
    assert np.allclose(made.detach().flatten(0, 1).numpy(), continuation.split(x.detach().numpy())[1], atol=1e-5)
    made.square().sum().backward()
    assert extents == (1,) or x.grad.abs().max() > 0


@pytest.mark.parametrize("split", [(1,), (0, 1), (1, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1, 0), (1, 1, 1, 1)], ids=str)
def test_networks_are_homogeneous_in_signal_and_step(split):
    torch.manual_seed(0)
    network, x, step = Refiner(2, split, 4, (5, 3, 1)), torch.randn(3, 2, *[6] * len(split)), torch.rand(3) + 0.1
    assert not network(x, step).any(), "they start at zero"
    for weight in network.parameters():
        torch.nn.init.normal_(weight, 0, 0.3)
    y = network(x, step)
    assert y.shape == (3, 2, *(6 * 2**on for on in split)) and y.abs().max() > 0.01
    assert torch.allclose(network(7.5 * x, 7.5 * step), 7.5 * y, rtol=1e-4, atol=1e-4)
    assert torch.allclose(network(x + 100, step), y, atol=1e-2), "what is constant says nothing"
    assert network.macs == sum(weight.numel() for weight in network.weights)


def test_phases_lie_where_they_belong():
    network = Refiner(1, (1, 0, 1), 2, (1, 1))
    torch.nn.init.zeros_(network.weights[0])
    network.biases[0].data[:] = torch.tensor([1.0, 0.0])
    network.weights[-1].data[:, 0, 0, 0] = torch.arange(4.0)
    y = network(torch.zeros(1, 1, 2, 3, 2), torch.ones(1))[0, 0]
    assert y.shape == (4, 3, 4) and y[:2, 1, :2].tolist() == [[0, 1], [2, 3]] == y[2:, 2, 2:].tolist()


CODECS = [
    (1, 1, "none", {"levels": 3, "continuation": 2}, (37,)),
    (2, 3, "trained", {"levels": 0, "lapped": 8, "continuation": 2}, (7, 9)),
    (2, 1, "none", {"levels": [2, 1], "continuation": 0}, (5, 8)),
    (3, 2, "trained", {"levels": [1, 1, 0], "continuation": [[1, 1, 0], [1, 1, 1]]}, (9, 7, 5)),
    (3, 1, "none", {"levels": [0, 0, 1], "lapped": [4, 4, 0], "continuation": 1}, (1, 3, 2)),
    (4, 1, "none", {"levels": 1, "continuation": 1}, (3, 2, 4, 3)),
    (2, 1, "own", {"levels": 1, "continuation": 2}, (7, 6)),
]


@pytest.mark.parametrize(("axes", "channels", "basis", "codec", "extents"), CODECS, ids=str)
def test_networks_at_zero_are_the_sparse_codec(axes, channels, basis, codec, extents):
    ours = predicted(axes, channels, basis, random=False, **codec).codec
    plain = model_of(axes, channels, basis, **codec).codec
    components = 3 if basis == "own" else 1
    y = latents_of(ours, extents, components)
    parts, others = ours.chunks.parts(y), plain.chunks.parts(y)
    coarse = len(ours.chunks.continuation.steps) + 1
    if plain.chunks.continuation.steps:
        assert all(np.array_equal(*pair) for pair in zip(parts[:coarse], others[:coarse], strict=True))
    together = np.concatenate([part.ravel() for part in parts])
    assert np.array_equal(np.sort(together), np.sort(np.concatenate([part.ravel() for part in others])))
    assert np.allclose(ours.chunks.join(parts, extents), y, atol=1e-5)
    back, usual = (
        each.chunks.decode(each.chunks.encode(y, STEP, 0.1), components, extents, STEP, "x") for each in (ours, plain)
    )
    assert np.array_equal(back, usual), "rounded, both are the same latents"


@pytest.mark.parametrize(("axes", "channels", "basis", "codec", "extents"), CODECS, ids=str)
@pytest.mark.parametrize("dead_zone", [None, 0.1])
def test_a_closed_loop_decodes_to_its_own_symbols(axes, channels, basis, codec, extents, dead_zone):
    ours = predicted(axes, channels, basis, **codec).codec
    components = 3 if basis == "own" else 1
    y = latents_of(ours, extents, components)
    coder = FastEncoder(ours.chunks.shapes(components, extents), ours.chunks.tables_of(components), dead_zone)
    scaled = ours.chunks.residuals(y, STEP, coder)
    plain = [part / STEP for part in ours.chunks.parts(y)]
    assert any(not np.allclose(*pair) for pair in zip(scaled[1:], plain[1:], strict=True)), "something is predicted"
    data = ours.chunks.encode(y, STEP, dead_zone)
    assert data == coder.finish()
    decoder = FastDecoder(data, coder.shapes, coder.tables, "x")
    symbols = [decoder.next() for _ in coder.shapes]
    back = ours.chunks.parts(ours.chunks.decode(data, components, extents, STEP, "x"))
    for one, part, rest, count in zip(back, ours.chunks.parts(y), scaled, symbols, strict=True):
        # what is decoded errs as much as the symbols do: errors of coarser parts do not add up
        assert np.allclose(one - part, STEP * (count - rest), atol=2e-4)


def test_a_prediction_is_what_the_next_part_would_be():
    """Where the finer signal is known, its bands are those that the chunk has, but for the packets at its borders."""
    codec = predicted(2, 3, "trained", levels=2, continuation=2).codec
    y = latents_of(codec, (32, 24))
    with torch.no_grad():
        torch.nn.init.normal_(codec.encoder.down.weight[1:], 0, 1)
        codec.encoder.down.weight.copy_(torch.linalg.qr(codec.encoder.down.weight)[0])
    parts = [torch.from_numpy(part)[None] for part in codec.chunks.parts(y)]
    step = torch.ones(1)
    known = Prediction(codec.predictor, (32, 24), step)
    signals = []
    for part in parts[:-1]:
        known.put(part)
        signals.append(known._coarse)
    ahead = Prediction(codec.predictor, (32, 24), step)
    codec.predictor.refined = lambda number, coarse, step: signals[number + 1]
    for number, part in enumerate(parts[:-1]):
        if number:
            assert torch.allclose(ahead.next(), part, atol=1e-4)
        ahead.put(part)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_streams_and_their_regions(axes, monkeypatch):
    monkeypatch.setattr(grid, "CHUNK_TOKENS", 4**axes)
    monkeypatch.setattr(grid, "PREDICTED_SAMPLES", 8**axes)
    model = predicted(axes, levels=1, continuation=1)
    signal = signal_of(model, 1, (37, 21, 19)[:axes])
    for fast in (False, True):
        data = model.compress(signal, step=STEP, fast=fast)
        back = model.decompress(data)
        assert np.sqrt(np.mean((back.values - signal.values) ** 2)) < STEP
        region = ((9, 20), (3, 17), (1, 19))[:axes]
        part = model.decompress(data, region=region).values
        whole = back.values[(slice(None), *(slice(*each) for each in region))]
        assert np.abs(part - whole).max() < 1e-6, "a chunk needs no other one"


@pytest.mark.parametrize("step", [STEP, 2.0**100])
def test_damaged_bytes_are_refused_or_give_latents_of_the_shape(step):
    codec = predicted(2, levels=1, continuation=1).codec
    data = codec.chunks.encode(latents_of(codec, (9, 7)), STEP)
    rng = np.random.default_rng(0)
    for _ in range(30):
        changed = np.frombuffer(data, np.uint8).copy()
        changed[rng.integers(5, len(data), 3)] ^= rng.integers(1, 256, 3).astype(np.uint8)
        try:
            assert codec.chunks.decode(changed.tobytes(), 1, (9, 7), step, "x").shape == (4, 9, 7)
        except FormatError as error:
            assert str(error).startswith("x: ")


def test_a_model_directory_keeps_the_networks(tmp_path):
    model = predicted(2, trees=[{"levels": 2, "continuation": 0}])
    assert (saved := save_model(model.codec, model.recipe, tmp_path)) != model.digest, "random ones are others"
    kept, recipe, digest = read_model(tmp_path, tables=True)
    assert recipe == model.recipe and digest == saved
    for tree, other in zip(kept.trees, model.codec.trees, strict=True):
        for one, another in zip(tree.predictor.parameters(), other.predictor.parameters(), strict=True):
            assert torch.equal(one, another)
    sensor = load(tmp_path)
    y = latents_of(model.codec, (7, 9))
    assert sensor.codec.chunks.encode(y, STEP, 0.1) == model.codec.chunks.encode(y, STEP, 0.1)
    kept.others[0].predictor.networks[0].weights[0].data[0, 0, 0, 0] += 1
    assert weights_digest(kept, dump_recipe(recipe)) != digest


def test_as_many_bands_are_predicted_from_their_neighbours_as_in_one_part_and_coarse_ones_first():
    assert predicted(3, levels=2, continuation=1).codec.chunks.predicted == [1, 7, 7, 9]
    assert model_of(3, levels=2, continuation=1).codec.chunks.predicted == [1, 7, 16]


def test_products_are_counted_per_sample():
    codec = predicted(2, 3, "trained", levels=1, continuation=1).codec
    first, last = (network.macs for network in codec.predictor.networks)
    assert codec.predictor.macs == pytest.approx((first / 16 + last / 4) / 3)
    assert summarise(predicted(2, 3, "trained", levels=1, continuation=1).recipe).predict_macs == codec.predictor.macs
    assert summarise(model_of(2).recipe).predict_macs == 0
    deep = predicted(3, levels=[3, 3, 1], continuation=1).codec.predictor
    assert deep.steps == ((1, 1, 1), (1, 1, 1), (1, 1, 0), (1, 1, 0)) and deep.which == [0, 0, 1, 2]
    assert prod(2 ** sum(step) for step in deep.steps) == 8 * 128


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"boundary": "periodic"}, "predicted needs boundary symmetric, got periodic"),
        ({"levels": 0, "lapped": 12}, "lapped: expected blocks of a power of two for kind predicted, got 12"),
        ({"levels": 0, "continuation": 0}, "levels: expected some, a block or a continuation for kind predicted"),
    ],
)
def test_what_cannot_be_predicted_is_one_line(settings, words):
    recipe = dump_recipe(predicted(2, random=False).recipe)
    recipe["codec"] |= settings
    recipe["training"]["crop"] = [48]
    with pytest.raises(SpecError, match=words) as caught:
        build_codec(parse_recipe(recipe, "here"))
    assert "\n" not in str(caught.value)

"""Networks behind sparse latents: what they start as, what learns, what stays, and that runs go on exactly."""

import json

import numpy as np
import pytest
import torch

from liveaction.codec import grid
from liveaction.codec.chunks import unpack_coded
from liveaction.codec.codec import build_codec
from liveaction.codec.model import Model, load
from liveaction.codec.quality import QUALITIES
from liveaction.coding.container import ContainerReader
from liveaction.errors import SpecError
from liveaction.nn import correction
from liveaction.nn.correction import GAINS, Correction
from liveaction.recipe import parse_recipe
from liveaction.registry import build_modality
from liveaction.spec import DecoderSpec
from liveaction.training import behind, loop
from liveaction.training import freeze as freezing
from liveaction.training import run as runs
from liveaction.training.behind import BehindLoss, code_crop, drawn_step, fit_gains
from liveaction.training.data import Crops
from liveaction.training.run import train
from liveaction.training.seeds import CropWord

TREES = [{"levels": 0, "lapped": 8, "continuation": 1}]
LIGHT = {"kind": "light", "depth": 1, "width": 16}
VIT = {"kind": "vit", "depth": 1, "width": 16, "head_dim": 8, "expansion": 2}


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    """Small chunks, few of them, no pictures."""
    monkeypatch.setenv("LIVEACTION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(freezing, "SYMBOLS", 1)
    monkeypatch.setattr(behind, "MEASURED", 3)
    monkeypatch.setattr(grid, "CHUNK_TOKENS", 27)
    monkeypatch.setattr(loop, "draw_curves", lambda folder: None)
    monkeypatch.setattr(runs, "draw_preview", lambda *given: None)


def recipe_of(axes=2, basis="none", channels=2, trees=TREES, decoder=LIGHT, **training):
    names = ["z", "y", "x"][-axes:]
    return parse_recipe(
        {
            "name": "behind",
            "modality": {"name": "array", "axes": names, "channels": channels, "range": [-1, 1]},
            "codec": {
                "levels": 2,
                "continuation": 1,
                "trees": list(trees),
                "encoder": {"kind": "sparse", "basis": basis},
                "decoder": decoder,
                "quantizer": {"kind": "uniform", "step": 0.05},
            },
            "training": {"steps": 3, "crop": [16], "start": "warm", "warm_crops": 4, "batch": 2, **training},
        },
        "here",
    )


def moved(codec):
    """Networks that add something."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in codec.behind.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return codec


def chunks_of(model, signal, **options):
    """The bytes of a stream without its header, which names the weights."""
    reader = ContainerReader(model.compress(signal, **options), "here")
    return [reader.read(number, 1 << 20) for number in range(len(reader.entries))]


@pytest.mark.parametrize("decoder", [LIGHT, VIT], ids=lambda d: d["kind"])
@pytest.mark.parametrize(("axes", "basis", "channels"), [(1, "own", 0), (2, "trained", 3), (3, "none", 1)])
def test_it_starts_as_the_linear_codec_bit_for_bit(tmp_path, axes, basis, channels, decoder):
    made = {}
    extents = (33, 17, 18)[:axes]
    for name, spec in (("linear", {"kind": "linear"}), ("network", decoder)):
        recipe = recipe_of(axes, basis, channels, decoder=spec, steps=0)
        made[name] = load(train(recipe, "synthetic:2", tmp_path / name, device="cpu").folder)
    signal = made["linear"].modality.synthetic(3, extents)
    for quality in (2, 4, 6):
        streams = {name: model.compress(signal, quality=quality) for name, model in made.items()}
        assert chunks_of(made["linear"], signal, quality=quality) == chunks_of(made["network"], signal, quality=quality)
        linear, network = (made[name].decompress(stream).values for name, stream in streams.items())
        assert np.array_equal(linear, network)


@pytest.mark.parametrize(("axes", "basis", "channels"), [(1, "own", 0), (2, "trained", 3), (3, "none", 1)])
def test_only_the_networks_learn_and_streams_stay(tmp_path, axes, basis, channels):
    start = load(train(recipe_of(axes, basis, channels, steps=0), "synthetic:2", tmp_path / "0", device="cpu").folder)
    result = train(recipe_of(axes, basis, channels), "synthetic:2", tmp_path / "3", device="cpu")
    model = load(result.folder)
    before, after = start.codec.state_dict(), model.codec.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.startswith("correction.") for name in changed)
    assert model.codec.tables_digest == start.codec.tables_digest
    signal = model.modality.synthetic(3, (33, 17, 18)[:axes])
    assert chunks_of(model, signal) == chunks_of(start, signal)
    assert chunks_of(model, signal, quality=7) == chunks_of(start, signal, quality=7)
    lines = [json.loads(line) for line in (result.folder / "log.jsonl").read_text().splitlines()]
    assert all(np.isfinite(line["psnr"]) and line["bits"] > 0 for line in lines)


def test_several_trees_learn_and_a_run_goes_on_exactly(tmp_path):
    recipe = recipe_of(steps=6, checkpoint_every=2)
    whole = train(recipe, "synthetic:3", tmp_path / "whole", device="cpu")
    with pytest.MonkeyPatch.context() as patch:
        before = loop.Trainer._step_behind

        def stopping(self, model, batch, step, frozen):
            self.stopped = int(step == 3)
            return before(self, model, batch, step, frozen)

        patch.setattr(loop.Trainer, "_step_behind", stopping)
        cut = train(recipe, "synthetic:3", tmp_path / "cut", device="cpu")
    assert not cut.finished and cut.steps == 4
    done = train(recipe, "synthetic:3", tmp_path / "cut", device="cpu", resume=True)
    assert done.finished and done.digest == whole.digest
    model = load(whole.folder)
    assert [tree.behind is model.codec.correction for tree in model.codec.trees] == [True, True]
    assert model.codec.correction.out.weight.abs().max() > 0


def test_training_takes_error_away(tmp_path):
    """Two hundred steps on one picture of edges: at most qualities less is left, at none much more."""
    plane = np.indices((96, 96)).sum(0)
    values = np.where(plane % 23 < 11, 0.6, -0.4) + np.where(np.indices((96, 96))[0] % 31 < 7, 0.3, 0.0)
    np.save(tmp_path / "edges.npy", values.astype(np.float32))
    made = {}
    for steps in (0, 200):
        recipe = recipe_of(trees=(), channels=1, steps=steps, crop=[32], batch=4, learning_rate=0.005)
        made[steps] = load(train(recipe, tmp_path / "edges.npy", tmp_path / str(steps), device="cpu").folder)
    signal = made[0].modality.read(tmp_path / "edges.npy")
    errors = []
    for model in made.values():
        back = [model.decompress(model.compress(signal, quality=quality)).values for quality in QUALITIES]
        errors.append([float(np.square(values - signal.values).mean()) for values in back])
    ratios = np.divide(*errors[::-1])
    assert sum(ratios < 0.97) >= 4 and max(ratios) < 1.02


def test_gains_are_what_leaves_least_error_on_training_data():
    recipe = recipe_of(channels=1)
    modality = build_modality(recipe.modality)
    codec = moved(build_codec(recipe)).eval()
    crops, said = Crops.of(modality, modality.synthetic(0, (48, 48))), []
    fit_gains(codec, crops, (16, 16), 0, said.append)
    gains = codec.behind.gains.clone()
    assert gains.shape == (GAINS,) and bool((gains >= 0).all()) and bool((gains <= 1).all())
    assert said[0].startswith("the network adds +") and "-" not in said[0].split("dB")[0]
    fit_gains(codec, crops, (16, 16), 0, said.append)
    assert torch.equal(codec.behind.gains, gains) and said[0] == said[1]


@pytest.mark.parametrize(
    ("fold", "kind"), [((2,), "light"), ((1, 2), "vit"), ((2, 2, 2), "light"), ((1, 2, 2, 1), "light")]
)
def test_a_correction_is_homogeneous_bounded_and_weighed_by_quality(fold, kind):
    torch.manual_seed(0)
    network = Correction(DecoderSpec(kind=kind, depth=1, width=16, head_dim=8), 3, fold)
    with torch.no_grad():
        network.out.weight.mul_(20)
    x = 5 * torch.randn(2, 3, *(4, 6, 8, 10)[: len(fold)])
    one, ten = (network(x * scale, 0.5 * scale, 0.5 * scale) - x * scale for scale in (1, 8))
    assert one.shape == x.shape and torch.allclose(8 * one, ten, atol=1e-4) and 0.2 < one.abs().max() <= 0.5001
    network.gains.copy_(torch.linspace(0, 1, GAINS))
    assert torch.equal(network(x, 4.0, 0.5), x) and torch.equal(network(x, 64.0, 0.5), x)  # the coarsest
    for step, gain in ((0.5, 0.5), (0.25, 4 / 6), (0.5 * 2**0.5, 2.5 / 6), (0.5 / 8, 1.0), (0.5 / 64, 1.0)):
        expected = step * gain * network.residual(x / step)
        assert torch.allclose(network(x, step, 0.5) - x, expected, atol=1e-5)


def test_it_sees_how_samples_differ_from_those_around():
    torch.manual_seed(0)
    network = Correction(DecoderSpec(kind="light", depth=1, width=12), 1, (2, 1))
    x = torch.randn(1, 1, 32, 9)
    assert torch.allclose(network.residual(x), network.residual(x + 1024), atol=1e-3)
    edge = x.clone()
    edge[:, :, 16:] += 1024
    changed = ((network.residual(x) - network.residual(edge)).abs().amax((0, 1, 3)) > 1e-3).nonzero()
    reach = 2 * network.reach
    assert changed.min() >= 16 - reach and changed.max() < 16 + reach and len(changed) == 2 * reach


@pytest.mark.parametrize("fold", [(2,), (1, 2), (2, 2, 1), (1, 2, 2, 1)])
def test_slabs_change_nothing(fold, monkeypatch):
    torch.manual_seed(0)
    x = 5 * torch.randn(2, 1, *((64,) if len(fold) == 1 else (4, 6, 20, 38)[-len(fold) :]))
    made = Correction(DecoderSpec(kind="light", depth=2, width=8), 1, fold)
    whole = made(x, 0.5, 0.5)
    monkeypatch.setattr(correction, "SLAB", x[0].numel() // 5)
    with torch.no_grad():
        assert len(list(made._slabs(x.shape[2:]))) >= 4
        assert torch.allclose(made(x, 0.5, 0.5), whole, atol=1e-5) and not torch.equal(x, whole)


def test_a_fold_divides_the_tokens_of_all_trees():
    recipe = recipe_of(3, channels=1, trees=[{"levels": [2, 1, 0]}, {"levels": 0, "lapped": [9, 8, 0]}])
    assert recipe.codec.fold(3) == (1, 2, 1) and build_codec(recipe).behind.fold == (1, 2, 1)


@pytest.mark.parametrize("basis", ["none", "own"])
def test_windows_are_decoded_as_the_whole(basis, monkeypatch):
    recipe = recipe_of(basis=basis, channels=0 if basis == "own" else 2)
    codec = moved(build_codec(recipe)).eval()
    x = torch.rand(1, codec.channels, 64, 96) * 2 - 1
    for tree in codec.trees:
        symbols = tree.to_symbols(x)
        with torch.no_grad(), monkeypatch.context() as patch:
            whole = tree.decode(symbols, (64, 96))
            patch.setattr(grid, "WINDOW_SAMPLES", 1024)
            layout = tree.layout((64, 96))
            assert layout.count_windows(tuple((0, n) for n in layout.extents)) > 1 and layout.halo >= 2
            parts = tree.decode(symbols, (64, 96))
        assert (whole - parts).square().mean().sqrt() < 1e-3


def test_crops_are_coded_as_compress_codes_signals():
    recipe = recipe_of(basis="own", channels=0)
    codec = build_codec(recipe).eval()
    modality = build_modality(recipe.modality)
    signal = modality.synthetic(1, (16, 24))
    x = modality.normalise(signal.values, (-1, 1))[None]
    model = Model(codec, recipe, "0" * 64)
    coded = code_crop(codec, x, 0.1)
    back = model.decompress(model.compress(signal, step=0.1))
    decoded = behind.decode_crop(codec, coded)
    assert np.allclose(modality.denormalise(decoded[0], np.float32, (-1, 1)), back.values, atol=1e-6)
    assert coded.bits == 8 * sum(len(unpack_coded(chunk, "here", 2)) for chunk in chunks_of(model, signal, step=0.1))


def test_steps_are_drawn_between_the_qualities():
    drawn = [drawn_step(0.1, (CropWord.STEP, 0, step, 0)) for step in range(200)]
    assert drawn[0] == drawn_step(0.1, (CropWord.STEP, 0, 0, 0)) and len(set(drawn)) == 200
    assert 0.1 / 8 / 1.5 < min(drawn) < 0.1 / 7 and 0.1 * 7 < max(drawn) < 0.1 * 8 * 1.5


def test_a_batch_without_components_changes_nothing():
    codec = build_codec(recipe_of(basis="own", channels=0)).eval()
    flat = code_crop(codec, torch.full((1, 3, 16, 16), 0.25), 0.1)
    assert not len(flat.true) and flat.bits == 0
    assert torch.allclose(behind.decode_crop(codec, flat), torch.full((1, 3, 16, 16), 0.25), atol=1e-3)
    loss = BehindLoss(codec.behind)([flat])
    loss.backward()
    assert loss.item() == 0 and all(p.grad is None or not p.grad.any() for p in codec.parameters())


def test_a_paper_decoder_behind_a_sparse_encoder_is_refused():
    with pytest.raises(SpecError, match=r"sparse needs a decoder of kind linear, light or vit, got paper"):
        recipe_of(decoder={"kind": "paper"})


def test_it_begins_behind_a_model_that_is_there(tmp_path):
    plain = train(
        recipe_of(channels=3, basis="trained", decoder={"kind": "linear"}, steps=0, seed=5),
        "synthetic:2",
        tmp_path / "0",
    )
    recipe = recipe_of(
        channels=3, basis="trained", steps=0, seed=5, crop=[32]
    )  # by itself it would turn colours otherwise
    model = load(train(recipe, "synthetic:2", tmp_path / "1", start_from=plain.folder).folder)
    start = load(plain.folder)
    assert len(model.codec.trees) == 2
    for mine, theirs in zip(model.codec.trees, start.codec.trees, strict=True):
        assert torch.equal(mine.encoder.down.weight, theirs.encoder.down.weight)
        assert torch.equal(mine.decoder.linear.order, theirs.decoder.linear.order)
    signal = model.modality.synthetic(3, (33, 17))
    assert chunks_of(model, signal) == chunks_of(start, signal)
    assert np.array_equal(
        model.decompress(model.compress(signal)).values, start.decompress(start.compress(signal)).values
    )

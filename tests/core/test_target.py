"""Targets instead of steps: as text, and as streams that are measured anew."""

import io
import math

import numpy as np
import pytest
import torch

import liveaction
from liveaction.codec import aiming, grid, slabs
from liveaction.codec.search import MOST
from liveaction.codec.stream import decompress, write_stream
from liveaction.codec.target import Target, parse_size, target_of
from liveaction.errors import LiveactionWarning, SpecError
from liveaction.signal import Signal

EXTENTS = {
    "rgb_sparse": (67, 90),
    "ct_sparse": (33, 30, 17),
    "rgb_predicted": (65, 70),
    "rgb_sparse_light": (63, 65),
    "music_own": (20001,),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """By the name of a recipe: its model at its start, with tables of no data, and a signal of its kind.

    ``rgb_sparse`` is warm, so that it has a state of the coder ``small``.
    """
    made = {}

    def model(name):
        if name not in made:
            recipe = liveaction.load_recipe(name, ["training.steps=0", "training.warm_crops=4"])
            folder, modality = tmp_path_factory.mktemp("m"), liveaction.build_modality(recipe.modality)
            if name == "rgb_sparse":
                for seed in range(2):
                    modality.write(modality.synthetic(seed, (256, 256)), folder / f"{seed}.png")
                liveaction.train(recipe, folder, folder / "model", device="cpu")
            else:
                torch.manual_seed(0)
                liveaction.save_model(liveaction.build_codec(recipe).eval(), recipe, folder / "model")
            made[name] = liveaction.load(folder / "model", device="cpu"), modality.synthetic(7, EXTENTS[name])
        return made[name]

    return model


def written(model, signal, **options):
    """A stream, how it was written, and how close it decodes to its signal."""
    file = io.BytesIO()
    about = write_stream(signal, file, model, **options)
    return file.getvalue(), about, model.modality.compare(signal, decompress(file.getvalue(), model)[0])


KINDS = ("size", "ratio", "psnr", "error")
CASES = [*((name, "fast") for name in EXTENTS), ("rgb_sparse", "small")]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "coder"), [pytest.param(*case, id="-".join(case)) for case in CASES])
def test_targets_are_met_by_what_is_written(models, name, coder, kind):
    model, signal = models(name)
    data, _, close = written(model, signal, coder=coder)
    native = signal.native_bits / 8
    wanted = {
        "size": round(1.3 * len(data)),
        "ratio": native / (1.3 * len(data)),
        "psnr": close["psnr_normalised"] + 2.3,
        "error": 1.4 * close["rmse"],
    }[kind]
    data, about, close = written(model, signal, coder=coder, **{f"target_{kind}": wanted})
    aim = about.aim
    assert about.bytes == len(data) and aim.within and aim.target == Target(kind, wanted) and 1 <= aim.trials <= 12
    if kind == "size":
        assert 0.98 * wanted <= len(data) <= wanted and aim.reached == len(data)
    elif kind == "ratio":
        assert wanted <= native / len(data) <= wanted / 0.98 and aim.reached == native / len(data)
    elif kind == "psnr":
        assert wanted <= close["psnr_normalised"] <= wanted + 0.1 and aim.reached == close["psnr_normalised"]
    else:
        assert 0.99 * wanted <= close["rmse"] <= wanted and aim.reached == close["rmse"]
    assert data == model.compress(signal, step=about.step, coder=coder)
    assert data == model.compress(signal, coder=coder, **{f"target_{kind}": wanted})


def test_latents_are_made_once_and_again_only_where_they_change(models, monkeypatch):
    model, signal = models("rgb_sparse")
    calls = []
    monkeypatch.setattr(slabs, "encoded", lambda *args, made=slabs.encoded: calls.append(1) or made(*args))
    _, about, _ = written(model, signal, target_size=900)
    assert about.aim.trials > 1 and len(calls) == 1
    calls.clear()
    model, signal = models("music_own")
    _, about, _ = written(model, signal, target_psnr=70.0)  # another step, another basis
    assert 1 < len(calls) <= about.aim.trials


def test_many_slabs_in_files_give_the_same_stream(models, monkeypatch):
    model, signal = models("ct_sparse")
    data = model.compress(signal, target_psnr=50.0)
    monkeypatch.setattr(grid, "CHUNK_TOKENS", 64)
    monkeypatch.setattr(grid, "SLAB_SAMPLES", 3000)
    other = model.compress(signal, target_psnr=50.0)
    monkeypatch.setattr("liveaction.mapped.LARGE", 1)
    monkeypatch.setattr(aiming, "IN_MEMORY", 1)
    assert model.compress(signal, target_psnr=50.0) == other != data


OUT_OF_REACH = [
    pytest.param({"target_size": 20}, r"--target-size: expected at least \d+ bytes, .* coarsest, got 20", id="small"),
    pytest.param({"target_size": "1GB"}, r"--target-size: expected at most [\d,]+ bytes, .* finest, got 1,0", id="big"),
    pytest.param({"target_ratio": 1e6}, r"--target-ratio: expected at most \S+:1, .* coarsest, got 1e\+06", id="ratio"),
    pytest.param({"target_ratio": 1e-6}, r"--target-ratio: expected at least \S+:1, .* finest, got 1e-06:1", id="thin"),
    pytest.param({"target_psnr": 1}, r"--target-psnr: expected at least \S+ dB, .* step .*, got 1 dB; take", id="bad"),
    pytest.param({"target_error": 1e5}, r"--target-error: expected at most \S+, .* step .*, got 1e\+05;", id="off"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "words"), OUT_OF_REACH)
def test_what_is_out_of_reach_is_said_with_what_is_not_and_nothing_is_written(models, tmp_path, options, words):
    model, signal = models("rgb_sparse")
    with pytest.raises(SpecError, match=words):
        model.compress_file(signal, tmp_path / "a.lva", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_psnr_above_what_clipping_leaves_is_out_of_reach(models):
    model, signal = models("ct_sparse")
    high = Signal(signal.values * 3 + 6000, signal.axes, signal.unit, signal.spacing, signal.dtype, signal.metadata)
    assert written(model, high)[1].clipped_share > 0.01
    with pytest.raises(SpecError, match=r"--target-error: expected at least \S+ HU, which this model reaches at step"):
        model.compress(high, target_error=0.5)


def test_what_jumps_over_a_target_is_said(models):
    model, _ = models("rgb_sparse")
    values = np.full((3, 40, 40), 90, np.uint8)
    values[1, 3, 5] = 91  # one error or none
    signal = Signal(values, ("y", "x"), "", (1.0, 1.0), "uint8", {"format": "png"})
    wanted = 10 * math.log10(255**2 * values.size) - 1
    with pytest.warns(
        LiveactionWarning, match=r"--target-psnr: expected a step that comes to .* dB, got .* dB as the cl"
    ):
        data, about, close = written(model, signal, target_psnr=wanted)
    assert close["psnr_normalised"] > wanted + 0.1 and not about.aim.within
    assert data == model.compress(signal, step=about.step)


def test_what_is_exact_meets_every_psnr_at_no_finer_a_step_than_that_needs(models):
    model, signal = models("rgb_sparse")
    data, about, close = written(model, signal, target_psnr=500.0)
    assert math.isinf(close["psnr_normalised"]) and about.aim.within and about.aim.trials <= MOST
    coarser = written(model, signal, step=2 * about.step)
    assert len(coarser[0]) < len(data) and math.isfinite(coarser[2]["psnr_normalised"])


def test_a_constant_signal_has_one_stream(models):
    model, _ = models("music_own")
    signal = Signal(np.zeros((2, 5000), np.int16), ("t",), "", (1 / 48000,), "int16", {"format": "wav"})
    data = model.compress(signal, target_error=1.0)
    assert not model.decompress(data).values.any()
    with pytest.raises(SpecError, match=f"expected at most {len(data)} bytes"):
        model.compress(signal, target_size=len(data) * 2)


def test_items_of_one_stream_have_a_psnr_or_an_error_each(models):
    model, signal = models("rgb_sparse")
    other = model.modality.synthetic(8, (33, 40))
    with model.open_many(model.compress_many([signal, other], ["a", "b"], target_psnr=40.0)) as items:
        for number, original in enumerate((signal, other)):
            close = model.modality.compare(original, items.read(number))
            assert 40 <= close["psnr_normalised"] <= 40.1
    with pytest.raises(SpecError, match="--target-ratio: expected a stream of one signal, got several in one; take"):
        model.compress_many([signal], target_ratio=10)
    with pytest.raises(SpecError, match="item 0 'a': --target-psnr: expected at least"):
        model.compress_many([signal, other], ["a", "b"], target_psnr=0.5)


@pytest.mark.parametrize("name", ["array", "hyperspectral", "audio", "ct"])
def test_errors_are_those_of_compare(name):
    recipes = {"array": "array_smoke", "hyperspectral": "hyperspectral_own", "audio": "music_own", "ct": "ct_smoke"}
    modality = liveaction.build_modality(liveaction.load_recipe(recipes[name]).modality)
    signal = modality.synthetic(3, (20, 24, 17) if name == "ct" else None)
    missing = np.zeros(signal.values.shape, bool)
    missing[..., 2:5] = True
    noise = np.random.default_rng(0).normal(0, 3, signal.values.shape)
    for gone in (signal.missing, missing):
        one, two = (
            Signal(values.astype(signal.values.dtype), *_about(signal), missing=gone)
            for values in (signal.values, signal.values + noise)
        )
        errors, whole = modality.errors(one, two), modality.compare(one, two)
        assert errors == {key: whole[key] for key in ("psnr_normalised", "rmse")} and errors["rmse"] > 0


def _about(signal):
    return signal.axes, signal.unit, signal.spacing, signal.dtype, signal.metadata, signal.bits


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (1, 1), ("200000", 200000), ("200kB", 200000), ("200 KB", 200000), ("200k", 200000), ("1.5MiB", 1572864),
        ("2GB", 2 * 10**9), (" 7b ", 7), (".5k", 500), ("1Gi", 2**30),
    ],
)  # fmt: skip
def test_sizes(text, count):
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "kB", "-3", "0", 0, -1, 1.5, True, "1e3", "3 cows", "0.2", "10**9", 2**63, None])
def test_what_is_no_size(text):
    with pytest.raises(SpecError, match=r"--target-size: expected bytes such as 200000, 200kB or 1\.5MiB, got "):
        parse_size(text)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"psnr": 0}, "--target-psnr: expected a positive number, got 0"),
        ({"ratio": math.inf}, "--target-ratio: expected a positive number, got inf"),
        ({"error": math.nan}, "--target-error: expected a positive number, got nan"),
        ({"error": "3"}, "--target-error: expected a positive number, got '3'"),
        ({"psnr": True}, "--target-psnr: expected a positive number, got True"),
        ({"size": 3, "error": 1.0}, "--target-size, --target-error: expected one of them, got 2"),
    ],
)
def test_what_is_no_target(given, words):
    with pytest.raises(SpecError, match=words):
        target_of(**given)


@pytest.mark.parametrize(("more", "option"), [({"step": 0.1}, "--step"), ({"quality": 3}, "--quality")])
def test_a_target_beside_a_rate_is_refused(models, more, option):
    model, signal = models("rgb_sparse")
    with pytest.raises(SpecError, match=f"{option}, --target-psnr: expected one of them, got both"):
        model.compress(signal, target_psnr=40.0, **more)


def test_trials_are_told(models):
    model, signal = models("rgb_sparse")
    told = []
    model.compress(signal, target_size=900, stage=told.append)
    assert told[0].startswith("trial 1, step 0.1: ") and any(text.startswith("trial 2, step ") for text in told)


def test_no_gradients_and_no_random_numbers(models):
    model, signal = models("rgb_sparse")
    state = torch.get_rng_state()
    model.compress(signal, target_size=900)
    assert torch.equal(torch.get_rng_state(), state)

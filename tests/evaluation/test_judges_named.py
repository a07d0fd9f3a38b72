"""Judges by name, from a folder, from timm; recognisers that ship in packages; the verb that asks them."""

import csv
import json
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint, PackageNotFoundError
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from liveaction.cli.main import app
from liveaction.errors import FormatError, SpecError, UnknownNameError
from liveaction.evaluation.judges import base, registry
from liveaction.evaluation.judges.base import Judge
from liveaction.evaluation.judges.documents import edits
from liveaction.evaluation.judges.registry import judge_labels, make_judge
from liveaction.evaluation.judges.sounds import speech_of
from liveaction.evaluation.protocol import load_protocol
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality
from liveaction.signal import Signal


class Lightness(Judge):
    """Above or below the middle."""

    name, label, library = "lightness", "lightness", "numpy"

    def refuses(self, signal, modality):
        return None

    def predict(self, signal):
        return "light" if signal.values.mean() > 128 else "dark"


def picture(value=0, size=(24, 40), channels=3):
    values = np.full((channels, *size), value, np.uint8)
    return Signal(values, ("y", "x"), "", (1.0, 1.0), "uint8")


def sound(values, rate=16000, **rest):
    return Signal(np.atleast_2d(values), ("t",), "", (1 / rate,), str(np.asarray(values).dtype), **rest)


@pytest.fixture
def installed(monkeypatch):
    """The judge above, and something that is none, as if packages offered them."""
    points = {
        "lightness": EntryPoint("lightness", f"{__name__}:Lightness", registry.GROUP),
        "none": EntryPoint("none", "builtins:dict", registry.GROUP),
    }
    monkeypatch.setitem(sys.modules, __name__, SimpleNamespace(Lightness=Lightness))
    monkeypatch.setattr(registry, "_points", lambda: points)


def test_judges_are_found_by_their_entry_points(installed):
    assert isinstance(make_judge("lightness"), Lightness)
    with pytest.raises(SpecError, match=r"expected a class of judges under liveaction\.judges, got 'dict'"):
        make_judge("none")
    with pytest.raises(UnknownNameError, match=r"got 'lightnes'; did you mean lightness\?"):
        make_judge("lightnes")


def test_the_shipped_judges_are_listed_without_their_libraries(monkeypatch):
    monkeypatch.setattr(base, "version", absent)
    assert list(judge_labels()) == ["document_text", "spoken_digits", "voice_activity"]
    result = CliRunner().invoke(app, ["evaluate", "--list", "--json"])
    assert json.loads(result.stdout)["judges"]["spoken_digits"].startswith("spoken digits")


def absent(package):
    raise PackageNotFoundError(package)


@pytest.mark.parametrize(
    ("name", "package"),
    [("spoken_digits", "pocketsphinx"), ("voice_activity", "silero-vad"), ("document_text", "rapidocr")],
)
def test_a_missing_package_is_named_with_its_extra(monkeypatch, name, package):
    monkeypatch.setattr(base, "version", absent)
    words = rf"--judge {name}: expected the package {package}, got none; pip install '.\[judges\]'"
    with pytest.raises(SpecError, match=words):
        make_judge(name)


def test_a_kept_head_judges_what_it_learnt_from(monkeypatch, tmp_path):
    seen = []

    def predict(values):
        seen.append(values)
        return np.array([int(values.mean() > 128)])

    head = SimpleNamespace(
        modality="rgb", names=("dark", "light"), predict=predict, takes=SimpleNamespace(kind="samples"),
        spec=SimpleNamespace(task="class"),
    )  # fmt: skip
    monkeypatch.setattr("liveaction.evaluation.judges.folder.load_head", lambda folder: head)
    folder = tmp_path / "shades"
    folder.mkdir()
    (folder / "head.safetensors").write_bytes(b"one")
    judge = make_judge(str(folder))
    assert judge.name == "shades" and judge.refuses(picture(), "rgb") is None
    assert judge.refuses(picture(), "ct") == "learnt from rgb, not from ct"
    assert [judge.predict(picture(value)) for value in (3, 200)] == ["dark", "light"]
    assert seen[0].shape == (1, 3, 24, 40) and seen[0].dtype == np.float32 and seen[1].max() == 200
    (folder / "head.safetensors").write_bytes(b"two")
    assert make_judge(str(folder)).identity != judge.identity
    head.names = ("dark",)
    with pytest.raises(FormatError, match="shades: expected one of 1 classes, got number 1"):
        judge.predict(picture(200))


def test_timm_takes_local_weights_and_nothing_else(tmp_path):
    import timm
    from safetensors.torch import save_file

    with pytest.raises(SpecError, match="with a local file, nothing is downloaded, got 'no weights'"):
        make_judge("timm:test_vit")
    path = tmp_path / "weights.safetensors"
    with pytest.raises(SpecError, match="nothing is downloaded, got"):
        make_judge(f"timm:test_vit:{path}")
    model = timm.create_model("test_vit", pretrained=False, num_classes=7)
    model.head.bias.data[:] = 0
    model.head.weight.data[:] = 0
    model.head.bias.data[4] = 1
    save_file(model.state_dict(), path)
    judge = make_judge(f"timm:test_vit:{path}")
    assert judge.predict(picture(90, (24, 40))) == "4" == judge.predict(picture(90, (300, 190)))
    assert "channels of" in judge.refuses(picture(channels=1), "grey") and judge.refuses(picture(), "rgb") is None
    assert "weights" in judge.library
    with pytest.raises(SpecError, match="expected weights of this model"):
        make_judge(f"timm:test_resnet:{path}")
    with pytest.raises(UnknownNameError, match="expected a model of timm, got 'test_nobody'"):
        make_judge(f"timm:test_nobody:{path}")


def test_speech_is_one_channel_at_16_khz_around_silence():
    wave_of = np.sin(np.arange(800) * 2 * np.pi * 200 / 8000)
    half = speech_of(sound((16384 * np.stack([wave_of, wave_of])).astype(np.int16), 8000))
    assert half.shape == (1600,) and half.dtype == np.float32
    wanted = 0.5 * np.sin(np.arange(1600) * 2 * np.pi * 200 / 16000)
    assert np.abs(half - wanted)[100:-100].max() < 0.01
    assert np.array_equal(speech_of(sound(np.array([128, 192, 0], np.uint8))), np.array([0, 0.5, -1], np.float32))
    assert speech_of(sound(np.array([2**22], np.int32), bits=24)) == 0.5


@pytest.mark.parametrize(("one", "two"), [("", ""), ("abc", ""), ("", "ab"), ("kitten", "sitting"), ("flaw", "lawn")])
def test_edits(one, two):
    table = {(i, 0): i for i in range(len(one) + 1)} | {(0, j): j for j in range(len(two) + 1)}
    for i, a in enumerate(one, 1):
        for j, b in enumerate(two, 1):
            table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a != b))
    assert edits(one, two) == table[len(one), len(two)]


def page(text, size=28):
    """Text on a page, black on white."""
    from matplotlib import font_manager
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("L", (420, 120), 255)
    font = ImageFont.truetype(font_manager.findfont("DejaVu Serif"), size)
    ImageDraw.Draw(image).text((20, 40), text, fill=0, font=font)
    return replace(picture(size=(120, 420), channels=1), values=np.asarray(image)[None])


@pytest.mark.slow
def test_pages_are_read():
    pytest.importorskip("rapidocr", reason="rapidocr is in the extra judges")
    pytest.importorskip("onnxruntime", reason="onnxruntime is in the extra judges")
    judge = make_judge("document_text")
    assert judge.predict(page("Invoice 2931")) == "Invoice 2931"
    assert judge.predict(picture(255, (120, 420), 1)) == ""
    assert judge.score("Invoice\n2931", "Invoice 2931") == 1.0
    assert judge.score("lnvoice 2931", "Invoice 2931") == 11 / 12
    assert judge.score("far too much of it", "ab") == 0.0 and judge.score("", "") == 1.0 and judge.score("a", "") == 0.0
    assert judge.refuses(picture(channels=4), "rgb") and judge.refuses(picture(), "rgb") is None


def test_voice_is_told_from_silence():
    pytest.importorskip("silero_vad", reason="silero-vad is in the extra judges")
    pytest.importorskip("onnxruntime", reason="onnxruntime is in the extra judges")
    judge = make_judge("voice_activity")
    assert judge.predict(sound(np.zeros(16000, np.int16))) == "0" * 32
    assert judge.score("0110", "0111") == 0.75 and judge.score("01", "0111") == 0.5 and judge.score("", "") == 1.0
    assert judge.refuses(picture(), "rgb") and judge.refuses(sound(np.zeros(9)), "music") is None


def test_spoken_digits_are_heard_whatever_was_heard_before(data_dir):
    pytest.importorskip("pocketsphinx", reason="pocketsphinx is in the extra judges")
    folder = data_dir / "learning" / "fsdd"
    paths = [path for digit in range(10) for path in sorted(folder.rglob(f"{digit}_jackson_1[0-3].wav"))]
    if not paths:
        pytest.skip(f"expected recordings of digits in {folder}, got none")
    judge = make_judge("spoken_digits")
    modality = build_modality(load_recipe("music_light", ["modality.channels=1"]).modality)
    signals = [modality.read(path) for path in paths]
    heard = [judge.predict(signal) for signal in signals]
    assert np.mean([said == path.name[0] for said, path in zip(heard, paths, strict=True)]) > 0.5
    assert [judge.predict(signal) for signal in signals[::-1]][::-1] == heard
    assert judge.refuses(picture(), "rgb") and judge.refuses(signals[0], "music") is None


PROTOCOL = """
name: shades
train: [learn/a.png]
test: [items]
settings: [training.steps=0, "training.crop=[32]", training.warm_crops=8, "codec.encoder={kind: linear}",
           "codec.decoder={kind: linear}", codec.latent_channels=8]
codecs:
  small: {recipe: rgb_smoke, curve: ours, factors: [1]}
baselines:
  webp: {values: [80]}
judge: lightness
labels: LABELS
"""


@pytest.mark.slow
def test_the_verb_asks_a_judge(installed, tmp_path, monkeypatch):
    monkeypatch.setenv("LIVEACTION_CACHE", str(tmp_path / "cache"))
    data, modality = tmp_path / "data", build_modality(load_recipe("rgb_smoke").modality)
    for name, value in (("items/light/a.png", 200), ("items/dark/b.png", 40), ("learn/a.png", None)):
        (data / name).parent.mkdir(parents=True)
        signal = modality.synthetic(1, (48, 64))
        values = signal.values if value is None else np.full_like(signal.values, value)
        modality.write(replace(signal, values=values), data / name)
    (data / "labels.csv").write_text("path,label\nitems/light/a.png,light\nitems/dark/b.png,dark\n")
    protocol = tmp_path / "shades.yaml"
    protocol.write_text(PROTOCOL.replace("LABELS", "labels.csv"))
    told = [str(text) for text in ("evaluate", "--protocol", protocol, "--data", data, "--out", tmp_path / "a")]
    result = CliRunner().invoke(app, [*told, "--repeats", "1"])
    assert result.exit_code == 0, (result.stdout, result.exception)
    words = "lightness: cannot tell: 100.0 % on 2 originals, 100.0 % at 1/8 of their resolution (p = 1"
    assert words in " ".join(result.stdout.split())
    with (tmp_path / "a" / "judged.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["codec"], row["accuracy"]) for row in rows[2:]] == [("small", "1.0"), ("webp", "1.0")]
    told = ["evaluate", str(tmp_path / "a/models/small"), "--data", str(data / "items"), "--out", str(tmp_path / "b")]
    told += ["--factors", "1", "--repeats", "1", "--json", "--quiet"]
    result = CliRunner().invoke(app, [*told, "--judge", "lightness", "--labels", "folders"])
    assert result.exit_code == 0 and json.loads(result.stdout)["judged"]["tells"] is False
    result = CliRunner().invoke(app, [*told, "--judge", "lightness"])
    assert isinstance(result.exception, SpecError) and "expected a judge and --labels" in str(result.exception)


def test_a_protocol_has_both_keys_or_none(tmp_path):
    path = tmp_path / "shades.yaml"
    path.write_text(PROTOCOL.replace("LABELS", "''"))
    with pytest.raises(SpecError, match="judge: expected a judge and labels, got 'lightness' and ''"):
        load_protocol(str(path))


def test_a_judges_score_is_no_measure_of_single_files(installed, tmp_path):
    (tmp_path / "model").mkdir()
    where = [str(tmp_path / "model"), "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    command = ["evaluate", *where, "--measure", "accuracy"]
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, SpecError) and "--measure: expected one of" in str(result.exception)

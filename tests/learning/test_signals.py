"""Studies whose answer is a signal: pairs, the start by least squares, what is told of signals, refusals."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from typer.testing import CliRunner

from liveaction.cli.main import app
from liveaction.errors import FormatError, SpecError
from liveaction.learning.heads import SignalHead
from liveaction.learning.nets import token_net
from liveaction.probing.prepare import grey_pictures, lines, mixtures, prepare
from liveaction.probing.protocol import load_probe
from liveaction.probing.signals import MOST, each_of, means_of

PROTOCOL = """
name: tiny
items: {folder: made, labels: items.csv, task: signal}
folds: {own: true}
settings:
  - codec.levels=2
  - codec.wavelet=haar
  - "codec.encoder={kind: linear}"
  - "codec.decoder={kind: linear}"
  - codec.quantizer.step=0.02
  - "training.crop=[16]"
  - training.steps=0
codecs:
  grey16: {recipe: grey_smoke, settings: [codec.latent_channels=16]}
  colour48: {recipe: rgb_light, settings: [codec.latent_channels=48]}
target: colour48
inputs:
  samples: {resample: 1}
  resample4: {resample: 4}
  grey16: {latents: grey16}
network: {token: {y: 4, x: 4}, widths: [8], drop: 0}
training: {epochs: 1, batch: 4, learning_rate: 0.0001}
compute: any
seeds: [0]
reference: samples
"""


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Grey noise on gradients; colour is a linear function of grey, so that a projection knows all of it."""
    folder, rng = tmp_path / "made", np.random.default_rng(0)
    (folder / "colour").mkdir(parents=True)
    rows = []
    for number in range(16):
        name = f"{number:02}.png"
        ramp = np.linspace(40, 120, 25)[:, None] + rng.uniform(0, 40)
        grey = np.clip(ramp + rng.normal(0, 25, (25, 21)), 0, 255)
        colour = np.stack([grey, 255 - grey, 0.5 * grey + 60], -1)
        Image.fromarray(np.rint(grey).astype(np.uint8)).save(folder / name)
        Image.fromarray(np.rint(colour).astype(np.uint8)).save(folder / "colour" / name)
        rows.append([name, f"colour/{name}", "test" if number % 4 == 3 else "train"])
    with (folder / "items.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", "split"], *rows])
    return folder


def _probe(folder: Path, text: str = PROTOCOL) -> dict[str, dict]:
    (folder / "p.yaml").write_text(text)
    arguments = ["probe", "--protocol", folder / "p.yaml", "--data", folder, "--out", folder / "out", "-q", "--json"]
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return {row["input"]: row for row in json.loads(result.output)["inputs"]}


def test_colour_that_follows_from_grey_is_found(made: Path) -> None:
    rows = _probe(made.parent)
    assert set(rows) == {"samples", "resample4", "grey16", "codec_alone", "nothing_learnt"}
    psnr = {name: row["psnr_normalised"] for name, row in rows.items()}
    assert psnr["codec_alone"] > 40
    assert psnr["samples"] > psnr["nothing_learnt"] + 8  # which is grey
    assert psnr["grey16"] > psnr["nothing_learnt"] + 8
    assert psnr["resample4"] < psnr["samples"] - 8  # noise that is gone
    assert rows["resample4"]["difference"] == pytest.approx(psnr["resample4"] - psnr["samples"])
    assert rows["resample4"]["p"] == pytest.approx(2 * 0.5**4)  # all four items, sign test
    assert rows["nothing_learnt"]["bytes"] == 25 * 21
    assert rows["samples"]["ssim"] <= 1
    report = (made.parent / "out" / "report.html").read_text()
    assert "paired sign test over items" in report
    assert "McNemar" not in report


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("token: {y: 4, x: 4}", "token: {y: 8, x: 8}", r"target: expected a codec with the network's tokens \(8, 8\)"),
        ("latent_channels=48", "latent_channels=48, 'modality.range={percentiles: [0, 100]}'",
         "target: expected a codec with a range of two numbers or native, got percentiles"),
    ],
)  # fmt: skip
def test_a_codec_of_targets_that_does_not_fit_is_refused(made: Path, before: str, after: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        _probe(made.parent, PROTOCOL.replace(before, after))


def test_a_target_is_a_signal_that_is_there_and_fits(made: Path) -> None:
    Image.fromarray(np.zeros((9, 21, 3), np.uint8)).save(made / "colour" / "03.png")
    with pytest.raises(SpecError, match=r"target: expected \(7, 6\) tokens, those of its input, for '03.png'"):
        _probe(made.parent)
    (made / "colour" / "03.png").unlink()
    with pytest.raises(FormatError, match=r"items\.csv: expected the path of a target signal for '03.png'"):
        _probe(made.parent)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("target: colour48", "", "target: expected one of the task signal alone|target: expected a codec for the task"),
        ("target: colour48", "target: nobody", "target: expected a codec among"),
        ("{latents: grey16}", "{latents: colour48}", r"inputs\.grey16: expected a codec of its own"),
        ("  grey16: {latents", "  codec_alone: {latents", "inputs: expected none of the names"),
        ("compute: any", "crop: {x: 8}", "expected neither crop nor views of the task signal"),
    ],
)
def test_wrong_targets_are_refused(tmp_path: Path, before: str, after: str, words: str) -> None:
    (tmp_path / "p.yaml").write_text(PROTOCOL.replace(before, after))
    with pytest.raises(SpecError, match=words):
        load_probe(str(tmp_path / "p.yaml"))


@pytest.mark.parametrize(("grid", "patch"), [((15,), 5), ((9, 8), (3, 4)), ((7, 7), (3, 4))])
def test_a_start_is_the_least_squares_of_every_token(spec_of, grid, patch) -> None:
    torch.manual_seed(0)
    spec = spec_of(grid, task="signal", outputs=6)
    net = token_net(spec, widths=(4,), patch=patch).eval()
    assert isinstance(net, SignalHead)
    x = torch.randn(30, 3, *grid)
    truth = token_net(spec, widths=(4,), patch=patch).direct
    y = truth(x)
    net.start([(x[:16], y[:16]), (x[16:], y[16:])])
    assert torch.allclose(net(x), y, atol=1e-3)
    assert not any(each.requires_grad for each in net.direct.parameters())


def test_measures_are_means_of_those_that_are_there() -> None:
    rows = [{"si_sdr": 3.0, "level_error_db": np.nan}, {"si_sdr": MOST, "level_error_db": 2.0}]
    assert means_of(rows) == {"si_sdr": (3 + MOST) / 2, "level_error_db": 2.0}
    assert each_of(rows) == [3.0, MOST]
    assert means_of([{"si_sdr": 1.0, "ssim": np.nan}]) == {"si_sdr": 1.0}


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "items.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_grey_pictures(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grey_pictures, "COUNTS", {"train": 5, "test": 2})
    with pytest.raises(FormatError, match="expected pictures in a folder train, got none"):
        prepare("grey_pictures", made, tmp_path / "a")
    source = tmp_path / "source"
    for split in ("train", "test"):
        (source / split / "x").mkdir(parents=True)
        for number in range(6):
            taken = made / "colour" / f"{number + 6 * (split == 'test'):02}.png"
            taken.rename(source / split / "x" / f"{number}.png")
    folder = prepare("grey_pictures", source, tmp_path / "b")
    rows = _rows(folder)
    assert [row["split"] for row in rows] == ["train"] * 5 + ["test"] * 2
    grey, colour = (Image.open(folder / rows[0][key]) for key in ("path", "label"))
    assert (grey.mode, colour.mode) == ("L", "RGB")
    assert np.array_equal(grey, colour.convert("L"))


def test_mixtures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixtures, "COUNTS", {"train": 5, "test": 4})
    monkeypatch.setattr(mixtures, "SAMPLES", 2048)
    source, rng = tmp_path / "music", np.random.default_rng(0)
    source.mkdir()
    tones = [440, 620, 880, 1240, 1760]
    for number, tone in enumerate(tones[:4]):
        _sound(source / f"{number}.wav", tone, rng)
    with pytest.raises(FormatError, match="expected five stereo recordings or more, got 4"):
        prepare("mixtures", source, tmp_path / "a")
    _sound(source / "4.wav", tones[4], rng, rate=48000)
    folder = prepare("mixtures", source, tmp_path / "a")
    rows = _rows(folder)
    assert len(rows) == 9
    tested = {tones[1], tones[4]}
    for row in rows:
        mixture, target = (soundfile.read(folder / row[key])[0] for key in ("path", "label"))
        assert mixture.shape == target.shape == (2048, 2)
        heard = {_tone(part, tones) for part in (target, mixture - target)}
        assert heard <= tested if row["split"] == "test" else not heard & tested
        aside = mixture - target
        power = np.sqrt(np.mean(aside**2, 0))
        assert abs(20 * np.log10(power[0] / (power[1] + 1e-9))) > 3  # stands at one side
    when = (folder / "items.csv").stat().st_mtime_ns
    assert (prepare("mixtures", source, tmp_path / "a") / "items.csv").stat().st_mtime_ns == when  # not made again
    again = prepare("mixtures", source, tmp_path / "b")
    assert (again / rows[3]["path"]).read_bytes() == (folder / rows[3]["path"]).read_bytes()
    soundfile.write(source / "0.wav", np.zeros((4096, 2)), 44100)
    with pytest.raises(FormatError, match=r"0\.wav: expected a recording that is not silent"):
        prepare("mixtures", source, tmp_path / "c")
    soundfile.write(source / "0.wav", np.ones((4096, 1)), 44100)
    with pytest.raises(FormatError, match=r"0\.wav: expected a stereo recording of 2048 samples or more"):
        prepare("mixtures", source, tmp_path / "c")


def _sound(path: Path, tone: float, rng: np.random.Generator, rate: int = 44100) -> None:
    t = np.arange(8192) / rate
    soundfile.write(path, np.stack([np.sin(2 * np.pi * tone * t), 0.8 * np.sin(2 * np.pi * tone * t + 1)], 1) / 2, rate)


def _tone(x: np.ndarray, tones: list[int]) -> int:
    spectrum = np.abs(np.fft.rfft((x.sum(1)) * np.hanning(len(x))))
    frequency = float(spectrum.argmax()) * 44100 / len(x)
    return min(tones, key=lambda tone: abs(tone - frequency))


def test_lines_of_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "COUNTS", {"train": 24, "test": 12})
    rows = _rows(prepare("lines", tmp_path, tmp_path / "a"))
    assert {row["label"] for row in rows} == set(lines.KINDS)
    fonts = [{row["group"] for row in rows if row["split"] == split} for split in ("train", "test")]
    assert fonts[1] <= set(lines.TESTED)
    assert not fonts[0] & fonts[1]
    picture = np.asarray(Image.open(tmp_path / "a" / "lines" / rows[0]["path"]))
    assert picture.shape[0] == lines.HEIGHT
    assert picture.min() < 140 < picture.max()
    words = [set(part) for part in (*lines.WORDS.values(), *lines.TITLES.values())]
    assert sum(map(len, words)) == len(set.union(*words))
    rng = np.random.default_rng(1)
    texts = {kind: lines.line(kind, "test", rng) for kind in lines.KINDS}
    assert all(any(sign.isdigit() for sign in text) for text in texts.values())

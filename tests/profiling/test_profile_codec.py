"""`liveaction profile codec`: checked against float64, then the wholes and all their stages."""

import json
import sys

import pytest
import torch
from typer.testing import CliRunner

from liveaction.cli import main as cli
from liveaction.codec.codec import Codec, build_codec
from liveaction.codec.weights import save_model
from liveaction.profiling.codec import CodecOptions, profile_codec
from liveaction.recipe import load_recipe

FAST = CodecOptions(rounds=1)


def run(*words):
    return CliRunner().invoke(cli.app, ["profile", "codec", *words, "--rounds", "1", "--device", "cpu"])


def stages(report, part):
    return [row.stage for row in report.rows if row.part == part]


def test_the_stages_of_a_codec():
    report = profile_codec("ct_light", (24, 17, 16), FAST)
    assert not report.red and report.shape == [1, 1, 24, 17, 16]
    depth = load_recipe("ct_light").codec
    assert stages(report, "encode") == [
        "whole", "packets", *(f"block {i}" for i in range(depth.encoder.depth)), "projection", "quantise",
    ]  # fmt: skip
    found = stages(report, "decode")
    assert found[0] == "whole" and found[-1] == "synthesis" and {"up", "out", "linear path", "block 0"} <= set(found)
    for part in ("encode", "decode"):
        shares = [row.share for row in report.rows if row.part == part and row.share is not None]
        assert sum(shares) == pytest.approx(1)
    for row in report.rows:
        assert row.median_us > 0 and row.msamples_s == pytest.approx(24 * 17 * 16 / row.median_us)


def test_attention_is_a_stage_of_its_own_and_companding_part_of_the_packets():
    report = profile_codec("paper_ct_f8c8", (16, 16, 16), FAST)
    assert stages(report, "encode")[:3] == ["whole", "packets", "block 0"]
    assert {"block 0 attention", "block 0 local", "block 7 local"} <= set(stages(report, "decode"))


def test_json_files_and_a_training_step(tmp_path):
    out = tmp_path / "out"
    said = run("ct_smoke", "--shape", "16,16,16", "--backward", "--trace", "--out", str(out), "--json")
    assert said.exit_code == 0, said.output
    record = json.loads(said.stdout)
    assert set(record) == {"recipe", "shape", "dtype", "device", "circumstances", "gate", "rows", "format"}
    assert record["gate"]["verdict"] == "green" and record["gate"]["latents"] < 1e-5
    assert [row["stage"] for row in record["rows"] if row["part"] == "train"] == ["forward, loss, backward"]
    assert json.loads((out / "profile.json").read_text()) == record
    assert json.loads((out / "trace_ct_smoke_encode.json").read_text())["traceEvents"]


def test_a_model_directory_and_the_table(tmp_path):
    recipe = load_recipe("ct_klt")
    save_model(build_codec(recipe), recipe, tmp_path / "model")
    said = run(str(tmp_path / "model"), "--shape", "16,24,9", "--dtype", "bfloat16")
    assert said.exit_code == 0, said.output
    assert "ct_klt  1 x 1 x 16 x 24 x 9  bfloat16" in said.stdout
    assert "against float64" in said.stdout and "linear path" in said.stdout and "Msamples/s" in said.stdout


def test_a_wrong_codec_gets_no_speed(monkeypatch):
    right = Codec.encode

    def wrong(self, x):
        y = right(self, x)
        return y if x.dtype == torch.float64 else y * 1.01

    monkeypatch.setattr(Codec, "encode", wrong)
    said = run("ct_smoke", "--shape", "16,16,16")
    assert said.exit_code == 1 and "red: expected a relative error of 1e-04 at most, got latents" in said.stdout
    assert "Msamples/s" not in said.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("ct_smoke", "--shape", "16,16"), "--shape: expected 3 positive extents ('x', 'y', 'z'), got (16, 16)"),
        (("ct_smoke", "--shape", "a"), "--shape: expected extents such as 512,512,300, got 'a'"),
        (("ct_smok", "--shape", "16,16,16"), "did you mean ct_smoke"),
        (("ct_smoke", "--shape", "16,16,16", "--dtype", "float16"), "--dtype: expected one of float32, bfloat16"),
        (("ct_smoke", "--shape", "16,16,16", "--trace"), "--trace: expected --out FOLDER beside it"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_refusal_is_one_line(capsys, monkeypatch, words, expected):
    monkeypatch.setattr(sys, "argv", ["liveaction", "profile", "codec", "-q", *words])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 1 and expected in capsys.readouterr().err

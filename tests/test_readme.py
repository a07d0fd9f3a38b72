"""The README tells the truth: its commands, recipes, files and names exist; the demo runs."""

import json
import math
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import liveaction
from liveaction.cli.main import app
from liveaction.evaluation.protocol import protocol_names
from liveaction.probing.protocol import probe_names
from liveaction.recipe import recipe_names

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("docs/measured.md", "docs/recipes.md", "docs/code.md")
TEXTS = {name: (ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md", *PAGES)}
COMMANDS = typer.main.get_command(app).commands


def _commands():
    for name, text in TEXTS.items():
        for match in re.finditer(r"(?:^|`)(liveaction (?!is)[a-z][^`#\n]*)", text, re.MULTILINE):
            yield pytest.param(match[1], id=f"{name}: {match[1]}")


@pytest.mark.parametrize("command", list(_commands()))
def test_commands_parse(command):
    _, verb, *words = shlex.split(command)
    command = COMMANDS[verb]
    if hasattr(command, "commands") and not (command.invoke_without_command and words[:1] in ([], ["--json"])):
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_recipes_and_paths_exist():
    text = TEXTS["README.md"] + "".join(TEXTS[name] for name in PAGES)
    named = set(re.findall(r"`((?:paper|ct|mri|series|hyperspectral|video|rgb|grey|array|music)_[a-z0-9_]+)`", text))
    assert named and named <= set(recipe_names()) | set(protocol_names()) | set(probe_names())
    assert set(recipe_names()) <= named, "a shipped recipe is missing from the recipes"
    paths = re.findall(r"`((?:liveaction|kernels|benchmarks|modalities|configs)/[\w./]+)`", text)
    assert paths and all((ROOT / path).exists() for path in paths), paths


def test_the_python_example_uses_public_names():
    code = re.search(r"```python\n(.*?)```", TEXTS["README.md"], re.DOTALL)[1]
    compile(code, "README.md", "exec")
    assert set(re.findall(r"liveaction\.(\w+)", code)) <= set(liveaction.__all__)


def test_figures_stand_in_the_records():
    results = ROOT / "benchmarks" / "results"
    rows = json.loads((results / "ct_light_cpu.json").read_text())["rows"]
    for row in (row for row in rows if row["quality"] == 4):
        line = f"| {row['ratio']:.0f} | {row['bits_per_element']:.3f} | {row['psnr_normalised']:.1f} dB"
        assert line in TEXTS["docs/measured.md"]
    coded = json.loads((results / "modalities_cpu.json").read_text())["rows"].values()
    for line in re.findall(r"^\| [^|]+ \| `\w+_smoke` \| .* \|$", TEXTS["docs/measured.md"], re.MULTILINE):
        _, _, recipe, ratio, quality, *_ = (cell.strip() for cell in line.split("|"))
        assert any(
            f"{file['ratio']:.0f} {file['psnr_normalised']:.1f} dB" == f"{ratio} {quality}" and not file["trained_on"]
            for case in coded for file in case["files"] if f"`{case['recipe']}`" == recipe and "ratio" in file
        ), line  # fmt: skip
    rows = json.loads((results / "codec_speed_cpu.json").read_text())["rows"]
    for case in ("ct", "hyperspectral", "video_8", "video_48", "array_audio", "rgb_4k"):
        cells = []
        for part in ("encode", "decode"):
            for threads in (1, 4):
                row = rows[f"{case}, {threads} threads"][part]
                ours, short = row["liveaction"], row["liveaction, bfloat16"]
                cells.append(
                    f"{ours['times_as_fast']:.1f} / {short['times_as_fast']:.1f}× ({ours['msamples_per_second']:.1f})"
                )
        assert f"| {' | '.join(cells)} |" in TEXTS["docs/measured.md"], case


def test_figures_of_streams_stand_in_the_records():
    results, text = ROOT / "benchmarks" / "results", TEXTS["docs/measured.md"]
    rows = [row for row in json.loads((results / "entropy_cpu.json").read_text())["rows"] if row["step"] == 1]
    bits = {(row["modality"], row["coder"]): row["bits"] for row in rows}
    speed = {row["modality"]: row["decode_mb_s"] for row in rows if row["coder"] == "contexts, fitted"}
    coders = ("own order 0", "Zstandard 19", "WebP lossless", "JPEG-LS")
    for name in ("ct_light", "hyperspectral", "video", "rgb", "music", "array_audio"):
        others = " | ".join(f"{bits[name, coder]:.3f}" for coder in coders)
        assert f"| {others} | **{bits[name, 'contexts, fitted']:.3f}** | {speed[name]:.0f} |" in text, name
    assert (
        f"at most {math.ceil(100 * json.loads((results / 'seams_cpu.json').read_text())['worst']) / 100} times" in text
    )
    fuzz, kills = (json.loads((results / f"{name}_cpu.json").read_text()) for name in ("fuzz", "kills"))
    assert fuzz["mutations"] == 100_000 and "Of 100 000 changed streams none" in text
    assert set(fuzz["outcomes"]) <= {"FormatError", "IntegrityError", "decoded", "filled"}
    assert kills["rounds"] == 20 and kills["broken"] == 0 and kills["equal_in_the_end"] and "of 20 runs over" in text
    ended = kills["training"]
    assert ended["without_model"] == ended["others"] == 0
    assert f"of {ended['killed'] + ended['stopped']} trainings ended" in " ".join(text.split())
    rows = json.loads((results / "memory_cpu.json").read_text())["rows"]["array_smoke"]
    for verb in ("compress", "decompress"):
        said = " and ".join(f"{row[verb]['peak'] / 2**30:.1f}" for row in rows[1:])
        assert f"{said} GiB to {verb}" in " ".join(text.split()), said


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--train", "--steps", "3")], ids=["bundled", "trained"])
def test_the_demo_runs(tmp_path, options):
    environment = os.environ | {"LIVEACTION_CACHE": str(tmp_path / "cache"), "LIVEACTION_HOME": str(tmp_path / "home")}
    command = [sys.executable, str(ROOT / "examples" / "ct_demo.py"), *options, "--out", str(tmp_path / "demo")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "PSNR" in done.stdout and "SSIM" in done.stdout and "bits per element" in done.stdout
    assert (tmp_path / "demo" / "compare.png").stat().st_size > 100_000
    assert ("lossless" in done.stdout) == (not options)

"""The documents under docs/ tell the truth: tables, commands and recipes."""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from math import prod
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
import yaml

from liveaction.cli.main import app
from liveaction.codec.codec import build_codec
from liveaction.codec.summary import summarise
from liveaction.recipe import load_recipe, recipe_names

ROOT = Path(__file__).resolve().parents[1]
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
SHAPES = {1: (4194304,), 2: (2048, 2048), 3: (256, 512, 512)}
ROWS = re.findall(r"^\| `(paper_\w+)` \| (.*) \|$", TEXTS["published.md"], re.MULTILINE)
UNITS = {"": 1, "k": 1e3, "M": 1e6}


def _number(text):
    figure, _, unit = text.replace(",", "").partition(" ")
    digits = len(figure.partition(".")[2])
    return float(figure) * UNITS[unit], 0.5001 * 10**-digits * UNITS[unit]


def test_every_published_recipe_has_its_row():
    assert [name for name, _ in ROWS] and {name for name, _ in ROWS} == {
        name for name in recipe_names() if name.startswith("paper_")
    }


@pytest.mark.parametrize(("name", "cells"), ROWS, ids=[name for name, _ in ROWS])
def test_the_figures_of_published_configurations(name, cells):
    recipe = load_recipe(name)
    summary = summarise(recipe, SHAPES[recipe.axes])
    encoder, their_encoder, whole, their_whole, macs, their_macs, decoder, their_decoder = map(
        _number, cells.split(" | ")
    )
    assert encoder[0] == summary.encoder_parameters
    assert whole[0] == summary.encoder_parameters + summary.decoder_parameters
    assert macs[0] == pytest.approx(summary.encoder_macs, abs=macs[1])
    assert decoder[0] == pytest.approx(summary.decoder_macs, abs=decoder[1])
    # equal as far as the published figures are stated
    assert summary.encoder_macs == pytest.approx(their_macs[0], abs=their_macs[1])
    # the absorbed attention: values and projection merge into one matrix, which itself is two products
    saved = 2 * recipe.codec.decoder.depth * recipe.hidden * (1 - recipe.hidden / prod(summary.grid))
    assert summary.decoder_macs + saved == pytest.approx(their_decoder[0], abs=their_decoder[1])
    folded = recipe.codec.encoder.depth * (recipe.hidden + recipe.hidden // 4)
    with torch.device("meta"):
        codec = build_codec(recipe)
    outside = sum(p.numel() for part in (codec.encoder.down, codec.quantizer) for p in part.parameters())
    assert summary.encoder_parameters + folded - outside == pytest.approx(their_encoder[0], abs=their_encoder[1])
    assert whole[0] + folded == pytest.approx(their_whole[0], abs=their_whole[1])


@pytest.mark.parametrize("name", sorted(TEXTS.keys() - {"entropy.md", "code.md", "measured.md"}))  # no commands
def test_commands_parse(name):
    commands = typer.main.get_command(app).commands
    text = TEXTS[name].replace("\\\n", " ")
    found = re.findall(r"(?:^|`)(liveaction [a-z][^`#\n]*)", text, re.MULTILINE)
    assert found
    for line in found:
        _, verb, *words = shlex.split(line)
        command = commands[verb]
        if hasattr(command, "commands") and not (command.invoke_without_command and words[:1] in ([], ["--json"])):
            command = command.commands[words.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, line


@pytest.mark.slow
def test_the_tutorial_can_be_typed_as_it_stands(tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "liveaction").write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m liveaction "$@"\n')
    (tools / "liveaction").chmod(0o755)
    environment = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}", "LIVEACTION_CACHE": str(tmp_path / "cache")}
    said = {}
    for kind, code in re.findall(r"```(python|sh)\n(.*?)```", TEXTS["own_modality.md"], re.DOTALL):
        command = [sys.executable, "-c", code] if kind == "python" else ["sh", "-euc", code]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{code}\n{done.stderr[-2000:]}"
        said[code.split()[1]] = done.stdout
    table = re.search(r"```yaml\n(modality:.*?)```", TEXTS["own_modality.md"], re.DOTALL)[1]
    assert load_recipe(tmp_path / "my_radar.yaml").modality.model_dump() == yaml.safe_load(table)["modality"] | {
        "axes": ("range", "azimuth", "time"), "range": (-30, 110)
    }  # fmt: skip
    assert "8.33% missing" in said["check"] and "on this machine" in said["check"]
    assert "PSNR 4" in said["train"]
    before, after = (np.load(tmp_path / name) for name in ("tuesday.npy", "back.npy"))
    assert after.dtype == before.dtype and np.array_equal(after == -999, before == -999)
    assert np.abs(after - before).max() < 20
    assert (tmp_path / "compare.png").stat().st_size > 100_000


def test_every_picture_of_the_documents_is_there():
    named = [
        (path, picture)
        for path in sorted((ROOT / "docs").rglob("*.md"))
        for picture in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", path.read_text(encoding="utf-8"))
    ]
    assert len(named) >= 8 and all((path.parent / picture).is_file() for path, picture in named)
    shown = {(path.parent / picture).resolve() for path, picture in named}
    assert {path for path in (ROOT / "docs" / "pictures").rglob("*") if path.is_file()} <= shown


def test_tables_of_evaluations_are_those_of_their_records(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import evaluations

    kept = sorted(path.name for path in evaluations.KEPT.iterdir())
    assert len(kept) >= 6
    for protocol in kept:
        assert f"`{protocol}`" in TEXTS["evaluation.md"]
        assert evaluations.tables(protocol) in TEXTS["evaluation.md"]


def test_tables_of_studies_are_those_of_their_records(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import probes

    kept = sorted(path.stem for path in probes.KEPT.glob("*.json"))
    assert len(kept) >= 4
    for protocol in kept:
        assert f"`{protocol}`" in TEXTS["learning.md"]
        assert probes.table(protocol) in TEXTS["learning.md"]
    assert probes.equals() in TEXTS["learning.md"]


def test_tables_of_judges_are_those_of_their_records(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import judged

    kept = sorted(path.stem for path in judged.KEPT.glob("*.json"))
    assert len(kept) >= 2
    for protocol in kept:
        assert f"`{protocol}`" in TEXTS["evaluation.md"]
        assert judged.table(protocol) in TEXTS["evaluation.md"]


def test_the_table_of_bounds_is_that_of_its_record(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import bounds

    assert bounds.table() in TEXTS["choosing.md"]


def test_the_table_of_bundled_models_is_that_of_their_records(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import bundled

    assert bundled.table() in TEXTS["models.md"]


def test_cards_of_bundled_models_are_those_of_their_records(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import bundled

    for name in bundled.BUNDLES:
        assert (bundled.BUNDLED / name / "README.md").read_text(encoding="utf-8") == bundled.card(name), name


def test_the_table_of_scales_is_that_of_its_record(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import scales

    record = json.loads((scales.RESULTS / "scales_cpu.json").read_text(encoding="utf-8"))
    assert scales.tables(record) in TEXTS["stream.md"]


def test_the_table_of_targets_is_that_of_its_record(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import targets

    assert targets.table() in TEXTS["choosing.md"]


def test_the_table_of_a_first_use_is_that_of_its_record(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import first_use

    assert first_use.table() in TEXTS["models.md"]


def _documented(text):
    """Names in the section ``Args:`` of a docstring."""
    section = re.search(r"^Args:\n((?:(?:    .*)?(?:\n|$))*)", text, re.MULTILINE)
    lines = re.findall(r"^ {4}(\S[^:\n]*):", section[1], re.MULTILINE) if section else []
    return [name.strip().lstrip("*") for line in lines for name in line.split(",")]


def _parameters(node):
    """Names a function takes; of a class, those of ``__init__`` or else its fields."""
    if isinstance(node, ast.ClassDef):
        made = [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
        if not made:
            return {part.target.id for part in node.body if isinstance(part, ast.AnnAssign)}
        (node,) = made
    taken = node.args
    named = [*taken.posonlyargs, *taken.args, *taken.kwonlyargs, taken.vararg, taken.kwarg]
    return {parameter.arg for parameter in named if parameter}


def _wrong_arguments(source):
    """Docstrings that tell of what is no parameter, and how many tell of parameters."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    told = [(node, _documented(ast.get_docstring(node) or "")) for node in nodes]
    wrong = [(node.name, name) for node, names in told for name in names if name not in _parameters(node)]
    return wrong, sum(bool(names) for _, names in told)


def test_arguments_in_docstrings_are_parameters():
    planted = (
        'def f(a, *b, c=1):\n    """Does.\n\n    Args:\n        a, b: some,\n'
        '            d: no.\n\n        e: gone.\n    """\n'
    )
    assert _wrong_arguments(planted) == ([("f", "e")], 1)
    wrong, count = {}, 0
    for room in ("liveaction", "kernels", "modalities"):
        for path in sorted((ROOT / room).rglob("*.py")):
            found, told = _wrong_arguments(path.read_text(encoding="utf-8"))
            wrong, count = wrong | {str(path.relative_to(ROOT)): found} if found else wrong, count + told
    assert not wrong and count > 100

"""The documents under docs/ tell the truth: tables, commands and recipes."""

import re
import shlex
from math import prod
from pathlib import Path

import pytest
import torch
import typer

from liveaction.cli import app
from liveaction.codec.model import build_codec
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


@pytest.mark.parametrize("name", TEXTS)
def test_commands_parse(name):
    commands = typer.main.get_command(app).commands
    text = TEXTS[name].replace("\\\n", " ")
    found = re.findall(r"(?:^|`)(liveaction [a-z][^`#\n]*)", text, re.MULTILINE)
    assert found
    for line in found:
        _, verb, *words = shlex.split(line)
        command = commands[verb]
        if hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, line

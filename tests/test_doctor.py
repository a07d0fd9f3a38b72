"""What Numba compiles: said once, left out of speeds, done ahead by ``doctor --warm``."""

import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest
from typer.testing import CliRunner

from liveaction.cli.doctor import cache_folders
from liveaction.cli.main import app
from liveaction.codec import warm
from liveaction.recipe import load_recipe, recipe_names

CODE = """
from time import perf_counter
import torch
from liveaction.codec.clock import Stopwatch
from liveaction.kernels.group_norm import group_norm
stages, watch, x = [], Stopwatch(), torch.ones(1, 2, 3)
with torch.no_grad(), watch.running(stages.append):
    began = perf_counter()
    group_norm(x, 1, x[0, :, 0], x[0, :, 0], 1e-6, False)
    took = perf_counter() - began
print(stages.count("compiling once"), watch.wall, took)
"""


@pytest.mark.slow
def test_a_cold_cache_is_said_once_and_is_no_speed(tmp_path):
    found = []
    for _ in range(2):
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
        done = subprocess.run([sys.executable, "-P", "-c", CODE], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        found.append([float(word) for word in done.stdout.split()])
    (told, counted, took), (again, _, _) = found
    assert told > 0 and counted < took / 2
    assert again == 0


def test_warm_takes_a_recipe_of_every_kind_and_says_what_it_did(monkeypatch):
    recipes = warm.kinds()
    shipped = [load_recipe(name).codec for name in recipe_names()]
    for part in ("encoder", "decoder", "quantizer"):
        assert {getattr(r.codec, part).kind for r in recipes} == {getattr(codec, part).kind for codec in shipped}
    monkeypatch.setattr(warm, "kinds", lambda: [load_recipe("grey_smoke")])
    assert CliRunner().invoke(app, ["doctor", "--warm"]).stdout.splitlines()[-1].startswith("compiled now ")
    said = CliRunner().invoke(app, ["doctor", "--warm", "--json"])
    assert said.exit_code == 0 and '"compiled now": "nothing; all kernels were there"' in said.stdout


def test_where_compiled_kernels_are_kept_and_that_they_cannot_be(monkeypatch):
    assert all(Path(folder).is_absolute() for folder in cache_folders().split(", "))

    def refuse(**options):
        raise RuntimeError("cannot cache function 'encode': no locator available for file 'rans_numba.py'")

    for name in ("rans_numba", "context_numba"):
        monkeypatch.delitem(sys.modules, f"liveaction.coding.{name}")
    monkeypatch.setattr(numba, "njit", refuse)
    assert cache_folders() == (
        "failed: no folder to keep compiled kernels in can be written; set NUMBA_CACHE_DIR to one"
    )

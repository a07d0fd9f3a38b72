"""A short run of the fuzzer; ``python -m tests.fuzz`` runs as long as one likes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}


def run(*arguments):
    # a process of its own: its address space is limited, and the constants of the grid are changed
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", *arguments], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True
    )


@pytest.mark.slow
def test_no_change_of_a_stream_is_a_bug():
    done = run("tests.fuzz", "--mutations", "3000", "--seed", "7")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["mutations"] == 3000 and found["bugs"] == {}
    assert found["outcomes"].keys() == {"FormatError", "IntegrityError", "decoded", "filled"}
    # bytes changed under checksums that were not put right are always noticed
    raw = ("every_bit", "every_truncation", "flip_bytes", "insert", "delete", "splice", "duplicate", "truncate")
    assert all("decoded" not in found["by_kind"][kind] for kind in raw)


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["sparse", "own", "small"])
def test_no_change_of_a_stream_of_parts_or_of_a_basis_is_a_bug(codec):
    done = run("tests.fuzz", "--mutations", "1500", "--seed", "5", "--codec", codec)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["codec"] == codec and found["bugs"] == {} and found["slowest_case_seconds"] < 10
    assert found["outcomes"].keys() == {"FormatError", "IntegrityError", "decoded", "filled"}
    assert found["by_kind"]["side_bytes"]["FormatError"] > 10
    raw = ("every_bit", "every_truncation", "flip_bytes", "insert", "delete", "splice", "duplicate", "truncate")
    assert all("decoded" not in found["by_kind"][kind] for kind in raw)


@pytest.mark.slow
def test_equal_seeds_give_equal_outcomes():
    one, two = (json.loads(run("tests.fuzz", "--mutations", "400", "--seed", "3").stdout) for _ in range(2))
    assert one["by_kind"] == two["by_kind"]


def test_the_guided_fuzzer_says_what_it_lacks():
    hidden = "import sys; sys.modules['atheris'] = None; from tests.fuzz.guided import main; main()"
    done = subprocess.run([sys.executable, "-c", hidden], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("tests.fuzz.guided: expected atheris, got none; pip install")
    assert done.stderr.count("\n") == 1

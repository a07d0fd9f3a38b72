"""What needs no codec starts without torch, Numba and Triton, whose import alone takes seconds and a gigabyte."""

import subprocess
import sys
from pathlib import Path

import pytest

import liveaction

GOLDEN = Path(__file__).parent / "golden" / "v1" / "line.lva"
CODE = """
import sys
from liveaction.cli.main import app
try:
    app(sys.argv[1:])
finally:
    print("loaded:", *sorted({"torch", "numba", "triton", "scipy"} & sys.modules.keys()))
"""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["--version"], f"liveaction {liveaction.__version__}\n", id="version"),
        pytest.param(["--help"], "compress", id="help"),
        pytest.param(["recipes"], "ct_f8c8", id="recipes"),
        pytest.param(["info", str(GOLDEN)], "array_smoke", id="info"),
        pytest.param(["models"], "hyperspectral", id="models"),
    ],
)
def test_light_verbs(arguments, words):
    done = subprocess.run([sys.executable, "-P", "-c", CODE, *arguments], capture_output=True, text=True)
    assert done.returncode == 0 and words in done.stdout, done.stderr
    assert done.stdout.splitlines()[-1].split() == ["loaded:"]

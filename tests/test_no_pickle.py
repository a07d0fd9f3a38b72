"""Nothing shipped runs what it reads: no pickle, no eval, no arrays of objects, no unsafe YAML."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("liveaction", "kernels", "modalities", "configs", "examples", "benchmarks")
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
RECIPES = sorted((ROOT / "configs").glob("*.yaml"))

MODULES = {"cPickle", "cloudpickle", "dill", "jsonpickle", "marshal", "pickle", "shelve", "joblib"}
CALLS = {
    "builtins.eval", "builtins.exec", "eval", "exec", "numpy.lib.format.read_array",
    "torch.hub.load", "torch.jit.load", "torch.load", "torch.save", "torch.serialization.load",
    "yaml.Loader", "yaml.UnsafeLoader", "yaml.full_load", "yaml.load", "yaml.load_all", "yaml.unsafe_load",
}  # fmt: skip
# written at all, they belong to a call that reads pickles or runs a stranger's code; allow_pickle=False is the safe one
KEYWORDS = {"allow_pickle", "pickle_module", "trust_remote_code", "weights_only"}
# the exception: foreign checkpoints are pickles, opened in a process of their own once every name in them is known
SAFE_LOADS = {ROOT / "liveaction" / "published" / "checkpoint.py": 1}


def _findings(source: str, safe_loads: int = 0) -> list[str]:
    """Line and name of everything that could run what it reads; names are followed through import aliases.

    As many calls of ``torch.load`` as ``safe_loads`` are passed over if they say ``weights_only=True``.
    """
    tree = ast.parse(source)
    passed = {part for call in _safe_loads(tree)[:safe_loads] for part in (call.func, *_given(call, "weights_only"))}
    names: dict[str, str] = {}
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
                found += [(node.lineno, alias.name)] if alias.name.partition(".")[0] in MODULES else []
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                full = f"{node.module}.{alias.name}"
                found += [(node.lineno, full)] if full.partition(".")[0] in MODULES or full in CALLS else []
    for node in ast.walk(tree):
        if node in passed:
            continue
        if isinstance(node, ast.Attribute | ast.Name):
            first, dot, rest = ast.unparse(node).partition(".")
            full = names.get(first, first) + dot + rest
            found += [(node.lineno, full)] if full in CALLS or full.endswith(".pickle") else []
        elif isinstance(node, ast.keyword) and node.arg in KEYWORDS and not _is_safe(node):
            found.append((node.value.lineno, f"{node.arg}={ast.unparse(node.value)}"))
    return [f"line {line}: {name}" for line, name in sorted(set(found))]


def _is_safe(node: ast.keyword) -> bool:
    return node.arg == "allow_pickle" and isinstance(node.value, ast.Constant) and node.value.value is False


def _given(call: ast.Call, name: str) -> list[ast.keyword]:
    return [keyword for keyword in call.keywords if keyword.arg == name]


def _safe_loads(tree: ast.Module) -> list[ast.Call]:
    """The calls ``torch.load(..., weights_only=True)``, both written out."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load"]
    return [call for call in calls if [_is_true(keyword.value) for keyword in _given(call, "weights_only")] == [True]]


def _is_true(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


@pytest.mark.parametrize("path", FILES, ids=[path.relative_to(ROOT).as_posix() for path in FILES])
def test_no_source_runs_what_it_reads(path: Path) -> None:
    assert _findings(path.read_text(encoding="utf-8"), SAFE_LOADS.get(path, 0)) == []


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_no_recipe_has_a_tag(path: Path) -> None:
    assert "!!" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import pickle as p",
        "from pickle import loads",
        "def f():\n    import dill",
        "import torch\ntorch.load('x')",
        "import torch\ntorch.load('x', weights_only=True)",
        "import torch as t\nt.load('x')",
        "from torch import load",
        "from torch import serialization\nserialization.load('x')",
        "import torch\nf = torch.load",
        "import torch\ntorch.save({}, 'x')",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import numpy as np\nflag = True\nnp.load('x', allow_pickle=flag)",
        "x(weights_only=True)",
        "x(trust_remote_code=True)",
        "eval('1')",
        "exec('1')",
        "import builtins\nbuiltins.eval('1')",
        "import yaml\nyaml.load('x', Loader=yaml.Loader)",
        "from yaml import unsafe_load",
    ],
)
def test_what_is_refused(source: str) -> None:
    assert _findings(source)


@pytest.mark.parametrize(
    "source",
    [
        "model.eval()",
        "'no pickle, no eval(x)'",
        "import numpy as np\nnp.load('x')",
        "import numpy as np\nnp.load('x', allow_pickle=False)",
        "import yaml\nyaml.safe_load('x')",
        "from safetensors.torch import load, load_file\nload(b'')",
        "json.load(file)",
    ],
)
def test_what_is_allowed(source: str) -> None:
    assert _findings(source) == []


def test_one_safe_load_is_passed_over() -> None:
    source = "import torch\ntorch.load('x', map_location='cpu', weights_only=True)"
    assert _findings(source, safe_loads=1) == []
    assert _findings(source) == ["line 2: torch.load", "line 2: weights_only=True"]


@pytest.mark.parametrize(
    "source",
    [
        "torch.load('x')",
        "torch.load('x', weights_only=False)",
        "torch.load('x', weights_only=None)",
        "torch.load('x', weights_only=1)",
        "torch.load('x', weights_only='True')",
        "torch.load('x', weights_only=not False)",
        "torch.load('x', weights_only=flag)",
        "torch.load('x', None, None, True)",
        "torch.load('x', **{'weights_only': True})",
        "torch.load('x', pickle_module=other, weights_only=True)",
        "torch.load('x', weights_only=True); torch.load('x', weights_only=True)",
        "torch.load('x', weights_only=True); torch.load('x')",
        "torch.load('x', weights_only=True)\nf = torch.load",
        "torch.load(eval('x'), weights_only=True)",
        "torch.load('x', weights_only=True)\ntorch.save({}, 'x')",
        "torch.load('x', weights_only=True)\nimport pickle",
        "import torch as t\nt.load('x', weights_only=True)",
        "from torch import load\nload('x', weights_only=True)",
        "import pickle as torch\ntorch.load('x', weights_only=True)",
        "torch.jit.load('x', weights_only=True)",
        "torch.serialization.load('x', weights_only=True)",
    ],
)
def test_no_other_load_is_passed_over(source: str) -> None:
    assert _findings(f"import torch\n{source}", safe_loads=1)

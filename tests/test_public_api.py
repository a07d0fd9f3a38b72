"""The public names, and that each says what it is."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import liveaction

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(
    path for room in ("liveaction", "kernels", "modalities", "configs") for path in (ROOT / room).rglob("*.py")
)
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
# their contract is the class's, or the base class's
INHERITED = {"forward", "backward", "setup_context"}


def _run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd="/")


def test_the_import_is_light() -> None:
    done = _run("import sys, liveaction; print(*sorted({name.partition('.')[0] for name in sys.modules}))")
    assert done.returncode == 0, done.stderr
    assert not {"accelerate", "matplotlib", "monai", "numpy", "pydantic", "timm", "torch", "triton"} & set(
        done.stdout.split()
    )


def test_a_recipe_loads_without_torch() -> None:
    done = _run("import sys, liveaction; liveaction.load_recipe('ct_f8c8'); sys.exit('torch' in sys.modules)")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", liveaction.__all__)
def test_every_public_name_resolves(name: str) -> None:
    thing = getattr(liveaction, name)
    assert name == "__version__" or thing.__doc__


def test_the_names_are_listed_once() -> None:
    assert len(liveaction.__all__) == len(set(liveaction.__all__))
    assert set(liveaction.__all__) == {*liveaction._HOMES, "__version__"}
    assert dir(liveaction) == sorted(liveaction.__all__)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="module 'liveaction' has no attribute 'nothing'"):
        getattr(liveaction, "nothing")  # noqa: B009


def _undocumented(tree: ast.Module) -> list[str]:
    """Public functions, classes and methods without a docstring; overrides of another module's class may inherit."""
    missing = [] if ast.get_docstring(tree) else ["the module"]
    for node in tree.body:
        if not isinstance(node, (*FUNCTION, ast.ClassDef)) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            missing.append(f"{node.name}, line {node.lineno}")
        if isinstance(node, ast.ClassDef) and not _derives(node):
            missing.extend(
                f"{node.name}.{method.name}, line {method.lineno}"
                for method in node.body
                if isinstance(method, FUNCTION)
                and not method.name.startswith("_")
                and method.name not in INHERITED
                and not ast.get_docstring(method)
            )
    return missing


def _derives(node: ast.ClassDef) -> bool:
    """Whether the class has a base whose methods it may override without saying again what they do."""
    plain = {"ABC", "Enum", "IntEnum", "NamedTuple", "Protocol", "StrEnum", "Module"}
    return any(ast.unparse(base).split("[")[0].split(".")[-1] not in plain for base in node.bases)


@pytest.mark.parametrize("path", FILES, ids=[path.relative_to(ROOT).as_posix() for path in FILES])
def test_everything_public_has_a_docstring(path: Path) -> None:
    assert _undocumented(ast.parse(path.read_text(encoding="utf-8"))) == []


def test_a_missing_docstring_is_seen() -> None:
    source = (
        '"""M."""\ndef f(): ...\ndef _g(): ...\nclass A:\n    """A."""\n    def h(self): ...\n    def _i(self): ...\n'
    )
    assert _undocumented(ast.parse(source)) == ["f, line 2", "A.h, line 6"]

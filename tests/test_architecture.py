"""Which room may import which, checked on the source text: the arrows of CONTRIBUTING.md."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = {
    "liveaction": "liveaction",
    "kernels": "liveaction.kernels",
    "modalities": "liveaction.modalities",
    "configs": "liveaction.configs",
}
EVERYTHING = {"*"}

# What a module may import beside the standard library. Names without a dot are third parties, or rooms and modules of
# liveaction written with a leading dot, a dot alone being the package itself. The first pattern that matches decides; a
# module that none matches fails.
_MIDDLE = {".kernels", ".errors", ".spec", "torch", "einops", "numpy"}
_RUNS = {".locking", ".stopping"}
_CODEC = {
    ".strict_json",
    ".files",
    ".outputs",
    ".model_folder",
    ".home",
    ".transforms",
    ".nn",
    ".coding",
    ".mapped",
    ".signal",
    ".spec",
    ".recipe",
    ".registry",
    ".errors",
}
_CODEC_THIRD = {"torch", "einops", "numpy", "pydantic", "safetensors"}
_STUDIES = (
    {".training", ".metrics", ".modalities", ".kernels", ".codec", "rich", "yaml"} | _RUNS | _CODEC | _CODEC_THIRD
)
ALLOWED: dict[str, set[str]] = {
    "liveaction": {".codec", ".home", ".metrics", ".reading", ".recipe", ".registry", ".signal", ".spec", ".training"},
    "liveaction.__main__": {".cli"},
    "liveaction.errors": set(),
    "liveaction.strict_json": {".errors"},
    "liveaction.files": {".errors", "psutil"},
    "liveaction.outputs": {".errors", ".files"},
    "liveaction.model_folder": {".errors", ".files", ".strict_json"},
    "liveaction.home": {".errors", ".files", ".model_folder", ".strict_json"},
    "liveaction.bundled": set(),
    "liveaction.locking": {".errors", ".files"},
    "liveaction.stopping": set(),
    "liveaction.spec": {".errors", "pydantic"},
    "liveaction.recipe": {".errors", ".spec", "pydantic", "yaml"},
    "liveaction.registry": {".errors", ".spec"},
    "liveaction.mapped": {".errors", "numpy"},
    "liveaction.marking": {".errors"},
    "liveaction.signal": {".mapped", ".errors", "numpy"},
    "liveaction.reading": {".recipe", ".registry", ".signal", ".spec"},
    "liveaction.configs*": set(),
    "liveaction.kernels*": {".kernels", ".errors", "torch", "einops", "numpy"},
    "liveaction.modalities*": {
        ".strict_json",
        ".modalities",
        ".marking",
        ".spec",
        ".mapped",
        ".signal",
        ".metrics",
        ".errors",
        ".files",
        ".outputs",
        "numpy",
        "torch",
        "pydantic",
    },
    "liveaction.coding.quantize": {".coding", *_MIDDLE},
    "liveaction.coding": {".coding", ".errors"},
    "liveaction.coding.source": {".errors", ".files"},
    "liveaction.coding.*": {".coding", ".strict_json", ".errors", "numpy"},
    "liveaction.transforms*": {".transforms", *_MIDDLE},
    "liveaction.nn*": {".nn", *_MIDDLE},
    "liveaction.codec*": {".codec", ".kernels", *_CODEC, *_CODEC_THIRD},
    "liveaction.metrics*": {".metrics", ".mapped", ".errors", "torch", "numpy"},
    "liveaction.training*": {".training", *_RUNS, ".codec", ".metrics", ".kernels", *_CODEC, *_CODEC_THIRD},
    "liveaction.learning*": {".learning", ".archive", *_STUDIES},
    "liveaction.probing*": {".learning", ".probing", ".evaluation", ".marking", ".profiling", *_STUDIES},
    "liveaction.published*": {".published", ".codec", *_CODEC, *_CODEC_THIRD, ".kernels", ".metrics"},
    "liveaction.testing_modalities": {".modalities", ".signal", ".errors", "numpy"},
    "liveaction.testing_ahead": {".kernels", ".errors", "torch"},
    "liveaction.testing": {"torch"},
    "liveaction.profiling*": {
        ".profiling",
        ".kernels",
        ".codec",
        ".training",
        ".metrics",
        ".testing",
        ".testing_ahead",
        "rich",
        *_CODEC,
        *_CODEC_THIRD,
    },
    "liveaction.evaluation.baselines*": {".evaluation", ".transforms", ".errors", "numpy"},
    "liveaction.evaluation.judges.folder": {".evaluation", ".learning", ".signal", ".files", ".errors", "numpy"},
    "liveaction.evaluation*": {".evaluation", ".marking", ".profiling", *_STUDIES},
    "liveaction.pipelines": {".files", ".strict_json", ".errors"},
    "liveaction.enhancing": {".pipelines", ".codec", ".signal", ".files", ".marking", ".errors", "numpy", "torch"},
    "liveaction.archive*": {".archive", *_RUNS, ".codec", ".kernels", *_CODEC, *_CODEC_THIRD},
    "liveaction.cli*": EVERYTHING,
}

# A third party with a door of its own: the modules that open it, beside the table above.
DOORS: dict[str, tuple[str, ...]] = {
    "numba": ("liveaction.kernels.*_numba", "liveaction.coding.*_numba"),
    "triton": ("liveaction.kernels.*_triton", "liveaction.testing_ahead"),
    "monai": ("liveaction.training.datalist", "liveaction.learning.adapt"),
    "nibabel": ("liveaction.modalities.volume.*", "liveaction.probing.prepare*"),
    "pydicom": ("liveaction.modalities.volume.*",),
    "scipy": (
        "liveaction.modalities.hyperspectral.*",
        "liveaction.modalities.array.*",
        "liveaction.modalities.audio.exhibits",
        "liveaction.modalities.*.preview",
        "liveaction.codec.reader",
        "liveaction.evaluation*",
        "liveaction.transforms.polyphase",
        "liveaction.probing.scores",
        "liveaction.probing.prepare.mixtures",
    ),
    "rasterio": ("liveaction.modalities.hyperspectral.*",),
    "h5py": ("liveaction.modalities.hyperspectral.*", "liveaction.modalities.array.*"),
    "zarr": ("liveaction.modalities.array.*", "liveaction.learning.export"),
    "av": ("liveaction.modalities.video.*", "liveaction.evaluation.baselines*"),
    "bjontegaard": ("liveaction.evaluation.bd",),
    "soundfile": ("liveaction.modalities.audio.*", "liveaction.evaluation*", "liveaction.probing.prepare*"),
    "PIL": (
        "liveaction.modalities.image.*",
        "liveaction.evaluation.exhibits",
        "liveaction.probing.prepare*",
        "liveaction.enhancing",
    ),
    "huggingface_hub": ("liveaction.codec.hub",),
    "diffusers": ("liveaction.pipelines",),
    "transformers": ("liveaction.pipelines",),
    "imagecodecs": (
        "liveaction.modalities.image.*",
        "liveaction.modalities.volume.dicom_pixels",
        "liveaction.evaluation*",
    ),
    "tifffile": ("liveaction.modalities.image.*", "liveaction.modalities.video.*"),
    "matplotlib": (
        "liveaction.evaluation.plots",
        "liveaction.modalities.*preview",
        "liveaction.modalities.drawing",
        "liveaction.training.curves",
        "liveaction.profiling.roofline",
        "liveaction.probing.report",
        "liveaction.probing.prepare.lines",
    ),
    "pyroomacoustics": ("liveaction.probing.prepare.directions",),
    "mpl_toolkits": ("liveaction.modalities.*.preview",),
    "pywt": ("liveaction.transforms.wavelet",),
    "livecodec": ("liveaction.published.parity", "liveaction.profiling.anchors"),
    "tft": ("liveaction.profiling.anchors",),
    "walloc": ("liveaction.published.parity",),
    "accelerate": ("liveaction.training*",),
    "timm": ("liveaction.training*", "liveaction.learning.adapt", "liveaction.evaluation.judges.timm_weights"),
    "pocketsphinx": ("liveaction.evaluation.judges.digits",),
    "rapidocr": ("liveaction.evaluation.judges.documents",),
    "silero_vad": ("liveaction.evaluation.judges.voice",),
    "tensorboard": ("liveaction.training*",),
    "torch.utils.tensorboard": ("liveaction.training*",),
}

# The interface of modalities may be named where a type checker alone reads it; nothing is imported.
TYPES_ONLY = {
    "liveaction.modalities.base": (
        "liveaction.registry",
        "liveaction.archive*",
        "liveaction.codec*",
        "liveaction.training*",
        "liveaction.evaluation*",
        "liveaction.profiling*",
        "liveaction.learning*",
        "liveaction.probing*",
        "liveaction.testing_modalities",
    )
}

# What modalities hand over to be looked at: plain data, which those who keep and show it may import.
EXHIBITS = "liveaction.modalities.exhibit"

# Slow to import, or noisy: imported inside the function that needs them, so that nobody pays who does not.
_HEAVY = (
    "PIL accelerate av bjontegaard diffusers h5py huggingface_hub imagecodecs livecodec matplotlib monai mpl_toolkits "
    "nibabel pocketsphinx pydicom pyroomacoustics rapidocr rasterio scipy silero_vad soundfile tensorboard tft "
    "tifffile timm transformers walloc zarr"
)
HEAVY = tuple(_HEAVY.split())


@dataclass(frozen=True)
class Import:
    """One imported name, with where it stands."""

    target: str
    line: int
    at_import_time: bool
    for_types: bool


def _modules() -> list[tuple[str, Path]]:
    found = []
    for folder, package in ROOMS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found.append((".".join((package, *(part for part in parts if part != "__init__"))), path))
    return found


def _imports(source: str) -> Iterator[Import]:
    yield from _visit(ast.parse(source), at_import_time=True, for_types=False)


def _visit(node: ast.AST, at_import_time: bool, for_types: bool) -> Iterator[Import]:
    for target in _targets(node):
        yield Import(target, getattr(node, "lineno", 0), at_import_time, for_types)
    if isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
        for child in node.body:
            yield from _visit(child, at_import_time=False, for_types=True)
        for child in node.orelse:
            yield from _visit(child, at_import_time, for_types)
        return
    deferred = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for inner in ast.iter_child_nodes(node):
        yield from _visit(inner, at_import_time and not deferred, for_types)


def _targets(node: ast.AST) -> Iterator[str]:
    """Names of the modules that a node imports; ``import_module("x")`` counts like ``import x``."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        module = "." * node.level + (node.module or "")
        # `from liveaction import x` names a room, or a public name of another room
        yield from (f"{module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in {"import_module", "__import__"}:
        yield from (argument.value for argument in node.args[:1] if _is_text(argument))  # type: ignore[attr-defined]


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _under(target: str, prefix: str) -> bool:
    return target == prefix or target.startswith(prefix + ".")


def _rule(name: str) -> set[str] | None:
    return next((rule for pattern, rule in ALLOWED.items() if fnmatchcase(name, pattern)), None)


def _complaints(name: str, source: str) -> list[str]:
    """What ``name`` imports against the table."""
    rule = _rule(name)
    if rule is None:
        return [f"{name}: no rule; add it to ALLOWED"]
    wrong = []
    for found in _imports(source):
        if found.target.startswith("."):
            wrong.append(f"{name}:{found.line}: relative import; write the full name")
        elif not _is_allowed(name, found.target, rule) and not _is_for_types(name, found):
            wrong.append(f"{name}:{found.line}: must not import {found.target}")
    return wrong


def _is_allowed(name: str, target: str, rule: set[str]) -> bool:
    if rule is EVERYTHING or target.split(".")[0] in sys.stdlib_module_names or target == "liveaction.__version__":
        return True
    if target == "liveaction":
        return "." in rule
    door = next((door for door in sorted(DOORS, key=len, reverse=True) if _under(target, door)), None)
    if door is not None:
        return any(fnmatchcase(name, pattern) for pattern in DOORS[door])
    return any(_under(target, f"liveaction{entry}" if entry.startswith(".") else entry) for entry in rule)


def _is_for_types(name: str, found: Import) -> bool:
    return found.for_types and any(
        _under(found.target, target) and any(fnmatchcase(name, pattern) for pattern in patterns)
        for target, patterns in TYPES_ONLY.items()
    )


def _early(name: str, source: str) -> list[str]:
    """What ``name`` imports at import time, though it should wait."""
    wrong = []
    for found in _imports(source):
        heavy = any(_under(found.target, party) for party in (*HEAVY, "torch.utils.tensorboard"))
        parts = found.target.split(".")
        kernel = parts[0] == "liveaction" and any(part.endswith("_triton") for part in parts)
        if found.at_import_time and (heavy or (kernel and not name.endswith("_triton"))):
            wrong.append(f"{name}:{found.line}: import {found.target} inside the function that needs it")
    return wrong


MODULES = [pytest.param(name, path, id=name) for name, path in _modules()]


@pytest.mark.parametrize(("name", "path"), MODULES)
def test_imports_follow_the_arrows(name: str, path: Path) -> None:
    assert _complaints(name, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(("name", "path"), MODULES)
def test_heavy_third_parties_wait_inside_functions(name: str, path: Path) -> None:
    assert _early(name, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(("name", "path"), MODULES)
def test_the_core_knows_no_modality(name: str, path: Path) -> None:
    if _under(name, "liveaction.modalities") or _under(name, "liveaction.cli"):
        return
    found = [entry for entry in _imports(path.read_text(encoding="utf-8")) if not _is_for_types(name, entry)]
    if _under(name, "liveaction.evaluation"):
        found = [entry for entry in found if not _under(entry.target, EXHIBITS)]
    assert not [entry for entry in found if _under(entry.target, "liveaction.modalities")]


@pytest.mark.parametrize(("name", "path"), MODULES)
def test_nobody_imports_the_cli(name: str, path: Path) -> None:
    if _under(name, "liveaction.cli") or name == "liveaction.__main__":
        return
    targets = [found.target for found in _imports(path.read_text(encoding="utf-8"))]
    assert not [target for target in targets if _under(target, "liveaction.cli")]


@pytest.mark.parametrize("module", ["container", "entropy", "tables", "fit", "rans_numba"])
def test_bytes_need_no_torch(module: str) -> None:
    module = f"liveaction.coding.{module}"
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr or f"{module} imports torch"


@pytest.mark.parametrize(
    ("name", "source", "words"),
    [
        pytest.param("liveaction.unheard", "", "no rule", id="no-rule"),
        pytest.param("liveaction.spec", "from .errors import SpecError", "relative import", id="relative"),
        pytest.param("liveaction.spec", "from liveaction.recipe import load_recipe", "liveaction.recipe", id="back"),
        pytest.param("liveaction.nn.blocks", "import liveaction.transforms.window", "transforms", id="sideways"),
        pytest.param("liveaction.nn.blocks", "from liveaction import psnr", "liveaction.psnr", id="front-door"),
        pytest.param(
            "liveaction.nn.blocks", "def f():\n    import liveaction.cli.main", "liveaction.cli.main", id="in-function"
        ),
        pytest.param(
            "liveaction.codec.stream", "import importlib\nimportlib.import_module('monai')", "monai", id="dynamic"
        ),
        pytest.param("liveaction.kernels.monarch", "import triton", "triton", id="triton"),
        pytest.param("liveaction.nn.blocks", "import liveaction", "must not import liveaction", id="package"),
        pytest.param("liveaction.training.data", "import liveaction.modalities.base", "base", id="interface"),
        pytest.param(
            "liveaction.training.data",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from liveaction.modalities.volume.ct import CT",
            "CT",
            id="modality-for-types",
        ),
        pytest.param("liveaction.coding.entropy", "import torch", "torch", id="torch-in-bytes"),
        pytest.param(
            "liveaction.codec.codec", "from torch.utils.tensorboard import SummaryWriter", "tensorboard", id="tb"
        ),
        pytest.param("liveaction.metrics", "from torch.utils import tensorboard", "tensorboard", id="tb-from"),
    ],
)
def test_the_table_refuses(name: str, source: str, words: str) -> None:
    (complaint,) = _complaints(name, source)
    assert words in complaint


@pytest.mark.parametrize(
    ("name", "source"),
    [
        pytest.param("liveaction.kernels.monarch_triton", "import triton.language as tl", id="triton"),
        pytest.param("liveaction.modalities.volume.preview", "import matplotlib.pyplot as plt", id="preview"),
        pytest.param("liveaction.codec.stream", "from liveaction import __version__", id="version"),
        pytest.param("liveaction.cli.main", "import liveaction.training.loop, monai", id="cli"),
        pytest.param(
            "liveaction.training.data",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from liveaction.modalities.base import Modality",
            id="interface-for-types",
        ),
    ],
)
def test_the_table_allows(name: str, source: str) -> None:
    assert _complaints(name, source) == []


@pytest.mark.parametrize(
    ("source", "early"),
    [
        pytest.param("import monai", True, id="top"),
        pytest.param("class A:\n    import monai", True, id="class-body"),
        pytest.param("try:\n    from monai.data import x\nexcept ImportError:\n    pass", True, id="try"),
        pytest.param("import liveaction.kernels.monarch_triton", True, id="kernel"),
        pytest.param("from liveaction.kernels import monarch_triton", True, id="kernel-from"),
        pytest.param("def f():\n    import monai", False, id="function"),
        pytest.param("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import monai", False, id="types"),
    ],
)
def test_early_imports_are_seen(source: str, early: bool) -> None:
    assert bool(_early("liveaction.modalities.volume.ct", source)) is early

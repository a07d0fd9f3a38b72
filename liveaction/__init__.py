"""liveaction: a research kit for learned codecs of N-D signals.

The public names below load when they are first used, so that ``import liveaction`` itself stays light.
"""

import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"


def _check_install() -> None:
    """Refuse a checkout that is not installed, and two checkouts that are mixed."""
    here = Path(__file__).resolve().parent
    found = importlib.util.find_spec("liveaction.kernels")
    if found is None or found.origin is None:
        raise ImportError(
            "liveaction is imported from a checkout that is not installed: the build maps kernels/, modalities/ and "
            "configs/ into the package; run `pip install -e .` there once"
        )
    rooms = Path(found.origin).resolve().parents[1]
    if rooms not in (here, here.parent):
        raise ImportError(
            f"two checkouts are mixed: liveaction comes from {here}, its kernels from {rooms}; "
            "run `pip install -e .` in the checkout you work in, or set PYTHONSAFEPATH=1"
        )


_check_install()

if TYPE_CHECKING:
    from liveaction.codec.codec import Codec, build_codec
    from liveaction.codec.hub import from_pretrained
    from liveaction.codec.info import read_info
    from liveaction.codec.model import Model, decompress, load, open, verify
    from liveaction.codec.weights import save_model
    from liveaction.home import known_models
    from liveaction.metrics import psnr, ssim
    from liveaction.reading import read
    from liveaction.recipe import load_recipe, recipe_names
    from liveaction.registry import build_modality, modality_names
    from liveaction.signal import Signal
    from liveaction.spec import Recipe
    from liveaction.training.run import train

_HOMES = {
    "Codec": "liveaction.codec.codec",
    "Model": "liveaction.codec.model",
    "Recipe": "liveaction.spec",
    "Signal": "liveaction.signal",
    "build_codec": "liveaction.codec.codec",
    "build_modality": "liveaction.registry",
    "decompress": "liveaction.codec.model",
    "from_pretrained": "liveaction.codec.hub",
    "known_models": "liveaction.home",
    "load": "liveaction.codec.model",
    "load_recipe": "liveaction.recipe",
    "modality_names": "liveaction.registry",
    "open": "liveaction.codec.model",
    "psnr": "liveaction.metrics",
    "read": "liveaction.reading",
    "read_info": "liveaction.codec.info",
    "recipe_names": "liveaction.recipe",
    "save_model": "liveaction.codec.weights",
    "ssim": "liveaction.metrics",
    "train": "liveaction.training.run",
    "verify": "liveaction.codec.model",
}

__all__ = [
    "Codec",
    "Model",
    "Recipe",
    "Signal",
    "__version__",
    "build_codec",
    "build_modality",
    "decompress",
    "from_pretrained",
    "known_models",
    "load",
    "load_recipe",
    "modality_names",
    "open",
    "psnr",
    "read",
    "read_info",
    "recipe_names",
    "save_model",
    "ssim",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'liveaction' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

"""Learning on latents: stores of latents, data sets over them, networks that take them as they are.

The public names below load when they are first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from liveaction.learning.adapt import adapt_timm, monai_net
    from liveaction.learning.dataset import LatentDataset
    from liveaction.learning.encode import Encode
    from liveaction.learning.fit import FitRules, fit_head, predict
    from liveaction.learning.heads import DenseHead
    from liveaction.learning.kept import load_head, save_head
    from liveaction.learning.making import make_store
    from liveaction.learning.nets import token_net
    from liveaction.learning.stem import LatentStem
    from liveaction.learning.store import LatentStore

_HOMES = {
    "DenseHead": "heads",
    "Encode": "encode",
    "FitRules": "fit",
    "LatentDataset": "dataset",
    "LatentStem": "stem",
    "LatentStore": "store",
    "adapt_timm": "adapt",
    "fit_head": "fit",
    "load_head": "kept",
    "make_store": "making",
    "monai_net": "adapt",
    "predict": "fit",
    "save_head": "kept",
    "token_net": "nets",
}

__all__ = [
    "DenseHead",
    "Encode",
    "FitRules",
    "LatentDataset",
    "LatentStem",
    "LatentStore",
    "adapt_timm",
    "fit_head",
    "load_head",
    "make_store",
    "monai_net",
    "predict",
    "save_head",
    "token_net",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'liveaction.learning' has no attribute {name!r}")
    return getattr(importlib.import_module(f"liveaction.learning.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

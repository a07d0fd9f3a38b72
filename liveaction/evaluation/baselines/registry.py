"""Names of baselines to baselines."""

import difflib

from liveaction.errors import UnknownNameError
from liveaction.evaluation.baselines.arrays import SZ3, ZFP
from liveaction.evaluation.baselines.base import Baseline
from liveaction.evaluation.baselines.images import AVIF, HTJ2K, JPEGXL, WebP
from liveaction.evaluation.baselines.jpeg2000 import JPEG2000
from liveaction.evaluation.baselines.klt import JPEG2000KLT
from liveaction.evaluation.baselines.resample import Resample
from liveaction.evaluation.baselines.sound import FLAC, Opus, OpusMono
from liveaction.evaluation.baselines.video import SVTAV1, X264Slow, X265Medium, X265Slow

_PICTURES: tuple[type[Baseline], ...] = (JPEG2000, HTJ2K, JPEGXL, AVIF, WebP)
_SEQUENCES: tuple[type[Baseline], ...] = (JPEG2000KLT, X265Slow, X265Medium, X264Slow, SVTAV1)
_OTHERS: tuple[type[Baseline], ...] = (ZFP, SZ3, Opus, OpusMono, FLAC, Resample)
_CLASSES = {kind.name: kind for kind in (*_PICTURES, *_SEQUENCES, *_OTHERS)}


def baseline_names() -> list[str]:
    """Every name that :func:`make_baseline` takes, sorted; no codec is loaded."""
    return sorted(_CLASSES)


def make_baseline(name: str, threads: int = 1) -> Baseline:
    """The baseline of that name.

    Args:
        threads: that it may use, where its library has threads.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in _CLASSES:
        close = difflib.get_close_matches(name, _CLASSES) or baseline_names()
        raise UnknownNameError(f"--baselines: expected a baseline, got {name!r}; did you mean {', '.join(close)}?")
    return _CLASSES[name](threads)

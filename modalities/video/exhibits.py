"""What to look at of a clip: the first, the middle and the liveliest frame."""

import numpy as np

from liveaction.modalities.exhibit import Exhibit
from liveaction.modalities.exhibit_pixels import FRAME, check_alike, to_picture
from liveaction.modalities.video.preview import frame_of
from liveaction.signal import Signal

_EVERY = 4  # of rows and columns: enough to know where a clip moves


def clip_exhibits(signal: Signal, like: Signal, limits: tuple[float, float]) -> list[Exhibit]:
    """The first and the middle frame, and the one that differs most from the frame before it, each once.

    Args:
        signal: ``[C, T, H, W]``, C 3 (red, green, blue) or 1.
        like: the original, the same shape; it alone decides which frames.
        limits: the values drawn black and white.

    Raises:
        ShapeError: the shapes differ.
    """
    check_alike(signal, like)
    count = like.shape[0]
    words = {0: "the first", count // 2: "the middle one"}
    words.setdefault(liveliest_frame(like), "the liveliest")
    aspect = like.spacing[1] / like.spacing[2]
    shown = []
    for frame, word in sorted(words.items()):
        pixels = frame_of(signal, frame, limits)
        pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
        shown.append(to_picture(f"frame {frame + 1} of {count}, {word}", pixels, aspect, FRAME))
    return list(shown)


def liveliest_frame(clip: Signal) -> int:
    """The frame that differs most from the one before it, on the mean over its samples; the first of one frame."""
    if clip.shape[0] == 1:
        return 0
    before, moves = clip.values[:, 0, ::_EVERY, ::_EVERY].astype(np.float32), []
    for frame in range(1, clip.shape[0]):
        after = clip.values[:, frame, ::_EVERY, ::_EVERY].astype(np.float32)
        moves.append(float(np.abs(after - before).mean()))
        before = after
    return 1 + int(np.argmax(moves))

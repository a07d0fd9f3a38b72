"""What to look at of a volume: axial, coronal and sagittal planes through the middle of the original's body."""

from dataclasses import replace

import numpy as np

from liveaction.modalities.exhibit import Exhibit, Picture
from liveaction.modalities.exhibit_pixels import check_alike, shares, to_picture
from liveaction.modalities.volume.preview import PLANES, Look, middle_of, plane_of, upright
from liveaction.signal import Signal


def volume_exhibits(signal: Signal, like: Signal, look: Look, overview: tuple[str, float, float]) -> list[Exhibit]:
    """The axial plane in every window of ``look``, coronal and sagittal planes in the window ``overview``.

    Args:
        signal: ``[1, X, Y, Z]``.
        like: the original, the same shape; its affine turns both upright, its body says where the middle is.
        look: as the preview draws volumes.
        overview: words, and the values drawn black and white.

    Raises:
        ShapeError: the shapes differ.
    """
    check_alike(signal, like)
    volume, steps = upright(replace(signal, missing=like.missing), like)
    middle = middle_of(upright(like)[0], look.body)

    def picture(plane: str, window: tuple[str, float, float]) -> Picture:
        normal, across, down = PLANES[plane]
        words, *limits = window
        values = plane_of(volume, middle, plane)
        shown = shares(values, (limits[0], limits[1]), np.isnan(values))
        name = f"{plane}, slice {middle[normal] + 1} of {volume.shape[normal]}, {words}"
        return to_picture(name, shown, steps[down] / steps[across])

    axial = [picture("axial", window) for window in look.windows]
    return [*axial, *(picture(plane, overview) for plane in ("coronal", "sagittal"))]


def one_window(signal: Signal, like: Signal, look: Look, where: str = "") -> list[Exhibit]:
    """Three planes in the only window of ``look``; ``where`` goes before each name."""
    shown = volume_exhibits(signal, like, look, look.windows[0])
    return [replace(exhibit, name=f"{where}{exhibit.name}") for exhibit in shown]

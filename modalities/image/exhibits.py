"""What to look at of a picture: the whole, and its busiest patch enlarged."""

from liveaction.modalities.exhibit import Exhibit
from liveaction.modalities.exhibit_pixels import FRAME, check_alike, to_picture
from liveaction.modalities.image.preview import busiest_patch, shares_of
from liveaction.signal import Signal

_PATCH, _ENLARGED = 192, 3  # samples a side, and times


def image_exhibits(signal: Signal, like: Signal, limits: tuple[float, float]) -> list[Exhibit]:
    """The whole, and the patch of at most 192 samples a side that changes most, every sample drawn three times three.

    Args:
        signal: ``[1, Y, X]`` or ``[3, Y, X]``.
        like: the original, the same shape; it alone decides which patch.
        limits: the values drawn black and white.

    Raises:
        ShapeError: the shapes differ.
    """
    check_alike(signal, like)
    rows, columns = like.shape
    patch = busiest_patch(shares_of(like.values, limits), (min(rows, _PATCH), min(columns, _PATCH)))
    shown = shares_of(signal.values, limits)
    detail = shown[patch].repeat(_ENLARGED, 0).repeat(_ENLARGED, 1)
    place = f"row {patch[0].start}, column {patch[1].start}"
    return [
        to_picture(f"whole, {columns} × {rows}", shown, most=FRAME),
        to_picture(f"busiest patch × {_ENLARGED}, from {place}", detail, most=FRAME),
    ]

"""What to look at of a series of volumes: one moment in three planes, one line of voxels over time."""

import numpy as np

from liveaction.modalities.exhibit import Exhibit
from liveaction.modalities.exhibit_pixels import check_alike, shares, to_picture
from liveaction.modalities.volume.exhibits import one_window
from liveaction.modalities.volume.preview import percentile_look
from liveaction.modalities.volume.series_preview import volume_of, voxels_of
from liveaction.signal import Signal


def series_exhibits(signal: Signal, like: Signal) -> list[Exhibit]:
    """Planes of the middle volume, and the line along x through the voxel that changes most, time running across.

    Args:
        signal: ``[1, T, X, Y, Z]``.
        like: the original, the same shape; it alone decides window and places.

    Raises:
        ShapeError: the shapes differ.
    """
    check_alike(signal, like)
    count = like.shape[0]
    moment = volume_of(like, count // 2)
    look = percentile_look(moment, "series")
    planes = one_window(volume_of(signal, count // 2), moment, look, f"volume {count // 2 + 1} of {count}, ")
    (place,) = voxels_of(like, 1)
    _, y, z = np.unravel_index(place, like.shape[1:])
    _, low, high = look.windows[0]
    lost = None if like.missing is None else like.missing[0, :, :, y, z].T
    line = shares(signal.values[0, :, :, y, z].T, (low, high), lost)
    name = f"voxels along x at y {y}, z {z}, over {count} moments from left to right"
    return [*planes, to_picture(name, line, count / like.shape[1])]

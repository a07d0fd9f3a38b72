"""Values in a unit back to the stored values of a DICOM slice, and those to the words of its pixel data."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError
from liveaction.modalities.volume.dicom_header import Header
from liveaction.modalities.volume.dicom_pixels import Plane, padding_bounds, stored_limits


class Stored(NamedTuple):
    """One slice ``[X, Y]`` as it is stored.

    ``clipped`` values lay outside of what BitsStored holds; ``moved`` ones would have read as padding.
    """

    values: NDArray[np.int64]
    clipped: int
    moved: int


def store_plane(
    values: NDArray[Any], missing: NDArray[np.bool_] | None, no_data: float, header: Header, plane: Plane
) -> Stored:
    """Undo the rescale of a slice: round, clip to what BitsStored holds, and keep measured values off the padding.

    Args:
        values: ``[X, Y]`` in the unit, any real dtype, finite where nothing is missing.
        missing: ``[X, Y]``, or None.
        no_data: what stands where values are missing.
        header: of the slice that is written like.
        plane: of that slice; where it is padding as well, what is missing gets the same padding.

    Raises:
        FormatError: what is missing has no stored value, or all stored values are padding.
    """
    slope, intercept = header.rescale
    low, high = stored_limits(header)
    lost = np.zeros(values.shape, np.bool_) if missing is None else missing
    wanted = (np.where(lost, 0, values).astype(np.float64) - intercept) / slope
    whole = np.rint(wanted)
    clipped = int(np.count_nonzero(((whole < low) | (whole > high)) & ~lost))
    stored = np.clip(whole, low, high).astype(np.int64)
    moved = 0
    if (bounds := padding_bounds(header)) is not None:
        hit = (stored >= bounds[0]) & (stored <= bounds[1]) & ~lost
        moved = int(np.count_nonzero(hit))
        if moved:
            stored[hit] = _beside(wanted[hit], bounds, (low, high), header)
    if lost.any():
        known = lost if plane.padded is None else lost & ~plane.padded
        if known.any():
            stored[known] = _padding(no_data, bounds, header)
        if plane.padded is not None:
            both = lost & plane.padded
            stored[both] = plane.values[both]
    return Stored(stored, clipped, moved)


def pack_words(stored: NDArray[np.int64], header: Header) -> bytes:
    """The bytes of PixelData, little-endian, of an even number: unused bits repeat the sign, padding may use them.

    Args:
        stored: ``[X, Y]``, of :func:`store_plane`.
        header: says BitsAllocated, BitsStored and HighBit, as :func:`~.dicom_pixels.read_plane` checked them.
    """
    bits = header.words["BitsAllocated"]
    used = header.words.get("BitsStored", bits)
    shift = header.words.get("HighBit", used - 1) + 1 - used
    low, high = stored_limits(header)
    placed = np.where((stored >= low) & (stored <= high), stored << shift, stored)
    words = (placed & ((1 << bits) - 1)).astype(f"<u{bits // 8}").T
    data = words.tobytes()  # row by row
    return data + b"\0" * (len(data) % 2)


def _beside(
    wanted: NDArray[np.float64], padding: tuple[int, int], limits: tuple[int, int], header: Header
) -> NDArray[np.int64]:
    """The nearest stored values that are not padding."""
    below, above = padding[0] - 1, padding[1] + 1
    if below < limits[0] and above > limits[1]:
        raise FormatError(
            f"{header.path}: expected stored values that are not padding, got PixelPaddingValue to "
            f"PixelPaddingRangeLimit {padding} of all {limits}; repair the header"
        )
    if below < limits[0]:
        return np.full(wanted.shape, above, np.int64)
    if above > limits[1]:
        return np.full(wanted.shape, below, np.int64)
    return np.where(wanted - below < above - wanted, below, above)


def _padding(no_data: float, bounds: tuple[int, int] | None, header: Header) -> int:
    """The stored value for what is missing where the slice that is written like was measured."""
    slope, intercept = header.rescale
    value = (no_data - intercept) / slope
    low, high = stored_limits(header)
    if bounds is not None:
        return round(value) if bounds[0] <= value <= bounds[1] else bounds[0]
    if low <= value <= high:  # NaN is not
        return round(value)
    raise FormatError(
        f"{header.path}: expected PixelPaddingValue for values that are missing, got none, and {no_data:g} has no "
        "stored value; decompress to NIfTI"
    )

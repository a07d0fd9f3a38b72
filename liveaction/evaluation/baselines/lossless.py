"""Arrays kept without loss by what suits them: JPEG XL for planes, FLAC for sound, ZFP for all other numbers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.evaluation.baselines.base import Array
from liveaction.evaluation.baselines.packing import Reader, Writer
from liveaction.evaluation.baselines.planes import Levels, PlaneLayout, spread
from liveaction.evaluation.baselines.sound import code_flac, decode_flac, fits_flac, silence_of

PLANES, SOUND, NUMBERS = range(3)


def keep(array: Array, to: Writer, threads: int) -> None:
    """Write all values, equal when they are read."""
    integers = array.values.dtype.kind in "iu"
    if array.rate is not None and integers and fits_flac(array):
        to.whole(SOUND, silence_of(array))
        to.parts(code_flac(array.values.astype(np.int32) - silence_of(array)))
    elif integers and len(array.axes) > 1 and (levels := Levels.of(array, 16)).step == 1:
        to.whole(PLANES)
        _keep_planes(array, levels, to, threads)
    else:
        to.whole(NUMBERS)
        _keep_numbers(array.values, to)


def kept(source: Reader, threads: int) -> NDArray[Any]:
    """What :func:`keep` has written; the dtype may be another one."""
    kind = source.whole()
    if kind == SOUND:
        middle = source.whole()
        return decode_flac(source.parts()) + middle
    return _kept_planes(source, threads) if kind == PLANES else _kept_numbers(source)


def _keep_planes(array: Array, levels: Levels, to: Writer, threads: int) -> None:
    from imagecodecs import jpegxl_encode

    def code(plane: NDArray[Any], threads: int) -> bytes:
        pixels = levels.integers(plane).astype(np.uint8 if levels.bits <= 8 else np.uint16)
        data = jpegxl_encode(
            pixels, lossless=True, effort=7, bitspersample=levels.bits, usecontainer=False, numthreads=threads
        )
        return bytes(data)

    layout = PlaneLayout.of(array)
    layout.write(to)
    levels.write(to)
    to.parts(spread(code, list(layout.planes(array.values)), threads))


def _kept_planes(source: Reader, threads: int) -> NDArray[Any]:
    from imagecodecs import jpegxl_decode

    layout, levels = PlaneLayout.read(source), Levels.read(source)

    def back(part: bytes, threads: int) -> NDArray[Any]:
        return levels.values(np.asarray(jpegxl_decode(part, numthreads=threads)))

    return layout.array(np.stack(spread(back, source.parts(), threads)))


def _keep_numbers(values: NDArray[Any], to: Writer) -> None:
    from imagecodecs import zfp_encode

    long = np.float32 if values.dtype.itemsize <= 4 else np.float64
    rows = np.ascontiguousarray(values, np.int64 if values.dtype.kind in "iu" else long)
    to.whole(values.ndim, *values.shape)
    to.raw(bytes(zfp_encode(rows.reshape(-1, values.shape[-1]), mode="reversible", numthreads=1)))


def _kept_numbers(source: Reader) -> NDArray[Any]:
    from imagecodecs import zfp_decode

    shape = source.wholes(source.whole())
    return np.asarray(zfp_decode(source.raw())).reshape(shape)

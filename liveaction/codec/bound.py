"""A bound on the error of every sample: what is left after decoding is coded, in steps just below twice the bound.

A decoder of such a stream computes in float64. Two machines then differ by less than :attr:`Bound.margin`, some ten
thousand times what rounding amounts to, and what the encoder writes gives the same value wherever within the margin the
decoded one lies. A sample for which that cannot be is kept as it is. So values are the same on every machine, and each
chunk carries their checksum.
"""

import zlib
from math import floor, frexp, inf, isfinite, ldexp, nextafter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from liveaction.coding.residual import decode_residual, encode_residual, most_residual
from liveaction.coding.varint import LONGEST, read_varint, write_varint
from liveaction.errors import FormatError, IntegrityError, SpecError

if TYPE_CHECKING:
    from liveaction.codec.codec import Codec

MARGIN = 2.0**-36
"""Of the range's width: 2**17 roundings of float64. A decoder makes some 300 of each sample, one after the other."""
FAR = 2.0**-50
"""Of the ends of the range, which are added last: eight roundings of them."""
CRC = 4
"""Bytes of a chunk's checksum."""
WHOLE = 2.0**53
"""Integers below this in size are float64."""
FINENESS = 6
"""Floating-point values are multiples of the power of two at or below the bound, over 2**FINENESS, which takes 1 % of
the bound: few samples lie within the margin of two multiples, so that all machines have the same."""

Values = NDArray[Any]
Wide = NDArray[np.float64]


class Bound(BaseModel):
    """What a header says of it.

    Attributes:
        error: no value that is there differs from the source's by more, in the unit.
        step: of what is left.
        grid: values are multiples of it.
        margin: decoded samples may be another by so much.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    error: float = Field(ge=0, allow_inf_nan=False, strict=True)
    step: float = Field(gt=0, allow_inf_nan=False, strict=True)
    grid: float = Field(gt=0, allow_inf_nan=False, strict=True)
    margin: float = Field(ge=0, allow_inf_nan=False, strict=True)

    @property
    def lossless(self) -> bool:
        """Whether every value comes back as it was."""
        return self.error == 0

    def text(self, unit: str) -> str:
        """In words."""
        return "lossless" if self.lossless else f"no error above {self.error:g} {unit}".rstrip()


def check_error(error: object) -> float:
    """A bound as it was given.

    Raises:
        SpecError: it is no number from 0 on.
    """
    if isinstance(error, bool) or not isinstance(error, int | float) or not isfinite(error) or error < 0:
        raise SpecError(f"--max-error: expected a number from 0 on, got {error!r}"[:120])
    return float(error)


def bound_for(error: float, dtype: np.dtype[Any], limits: tuple[float, float]) -> Bound:
    """The bound of a signal.

    Args:
        error: at most, in the unit.
        dtype: of its values.
        limits: that map onto -1 and 1.

    Raises:
        SpecError: it is finer than what decoding can promise.
    """
    check_error(error)
    low, high = float(limits[0]), float(limits[1])
    margin = MARGIN * (high - low) + FAR * (abs(low) + abs(high))
    if dtype.kind in "iu":
        whole = float(floor(error))
        return Bound(error=whole, step=max(2 * whole + 1 - 4 * margin, 0.5), grid=1.0, margin=margin)
    least = 16 * margin
    if error < least or error < 2.0**-1000:
        raise SpecError(
            f"--max-error: expected at least {least:.3g} for {dtype.name} values of the range {low:g} to {high:g}, got "
            f"{error:g}; 0, lossless, is for integers"
        )
    octave = ldexp(1.0, frexp(error)[1] - 1)
    grid = octave / 2**FINENESS
    return Bound(error=error, step=2 * (error - 2 * margin) - grid, grid=grid, margin=margin)


def is_constant(limits: tuple[float, float]) -> bool:
    """Whether every value is the first of them, whatever the latents say."""
    return float(limits[1]) == nextafter(float(limits[0]), inf)


def mapped(x: Wide, limits: tuple[float, float]) -> Wide:
    """Samples from [-1, 1], to which they are clipped, to the unit; in float64, each operation rounded by itself."""
    low, high = float(limits[0]), float(limits[1])
    return (np.clip(x, -1.0, 1.0) + 1.0) * ((high - low) / 2.0) + low


def check_exact(codec: "Codec", recipe: str) -> None:
    """Refuse a codec whose decoding is not known to be the same everywhere.

    Raises:
        SpecError: it has a network, or latents that are fewer than samples.
    """
    plain = codec.sparse and codec.behind is None and codec.predictor is None and codec.optimises
    if not plain or codec.spec.boundary != "symmetric":
        raise SpecError(
            f"--max-error: expected a codec without a network, whose decoding is the same everywhere, got recipe "
            f"{recipe!r}; take one of the sparse recipes, or a model that comes along"
        )


def encode_bounded(values: Values, decoded: Wide, missing: NDArray[np.bool_] | None, bound: Bound) -> bytes:
    """What a chunk needs beside its symbols so that its values come back within the bound.

    Args:
        values: ``[C, *S]`` of the source, of the signal's dtype.
        decoded: of its symbols, before rounding.
        missing: where there is no value.
        bound: of the signal.
    """
    from liveaction.coding.residual_numba import MOST, VERBATIM

    there = values if missing is None else np.where(missing, values.dtype.type(0), values)
    with np.errstate(all="ignore"):  # what is out of reach is kept as it is
        wide = there.astype(np.float64)
        steps = np.rint((wide - decoded) / bound.step)
        lowest = _rounded(decoded - bound.margin, steps, bound, values.dtype)
        highest = _rounded(decoded + bound.margin, steps, bound, values.dtype)
        good = (lowest == highest) & (np.abs(lowest.astype(np.float64) - wide) <= bound.error)
        good &= np.abs(steps) <= MOST
        if values.dtype.itemsize == 8 and values.dtype.kind != "f":
            good &= np.abs(wide) < WHOLE
    if missing is not None:
        good |= missing

    symbols = np.where(good, steps, 0).astype(np.int64)
    symbols[~good] = VERBATIM
    final = np.where(good, lowest, there)
    verbatim = there[~good]
    little: bytes = verbatim.astype(verbatim.dtype.newbyteorder("<")).tobytes()
    return checksum(final, missing) + write_varint(verbatim.size) + little + encode_residual(symbols, missing)


def decode_bounded(
    data: bytes,
    decoded: Wide,
    missing: NDArray[np.bool_] | None,
    bound: Bound,
    dtype: np.dtype[Any],
    where: str,
    whole: bool = True,
) -> Values:
    """The values ``[C, *S]`` of a chunk, of any where they are missing.

    Args:
        data: of :func:`encode_bounded`.
        decoded: of the chunk's symbols, before rounding.
        missing: where there is no value.
        bound: of the signal.
        dtype: of the values.
        where: stands first in errors.
        whole: nothing is damaged that ``decoded`` was made of; else values are approximations, and not checked.

    Raises:
        FormatError: the bytes are not those of such a chunk.
        IntegrityError: other values come out than were written.
    """
    from liveaction.coding.residual_numba import VERBATIM

    crc, kept, rest = _apart(data, dtype, where)
    symbols = decode_residual(rest, decoded.shape, missing, where)
    verbatim = symbols == VERBATIM
    count = int(np.count_nonzero(verbatim))
    if count != kept.size:
        raise FormatError(f"{where}: expected {count} values that are kept as they are, got {kept.size}")
    symbols[verbatim] = 0
    with np.errstate(all="ignore"):
        values = _rounded(decoded, symbols.astype(np.float64), bound, dtype)
    values[verbatim] = kept
    if whole and checksum(values, missing) != crc:
        raise IntegrityError(
            f"{where}: expected the values that were written, got others; this machine decodes otherwise by more than "
            f"{bound.margin:.3g}, or the data are damaged"
        )
    return values


def most_bounded(samples: int, itemsize: int) -> int:
    """Bytes of :func:`encode_bounded` at most."""
    return CRC + LONGEST + samples * itemsize + most_residual(samples)


def checksum(values: Values, missing: NDArray[np.bool_] | None) -> bytes:
    """CRC-32 of values, 0 where they are missing, in raster order, little-endian."""
    there = values if missing is None else np.where(missing, values.dtype.type(0), values)
    little = np.ascontiguousarray(there.astype(there.dtype.newbyteorder("<"), copy=False))
    return zlib.crc32(little.data).to_bytes(CRC, "little")


def _rounded(decoded: Wide, steps: Wide, bound: Bound, dtype: np.dtype[Any]) -> Values:
    """The multiples of the grid that are nearest, clipped to what the dtype holds."""
    found = np.rint((decoded + steps * bound.step) / bound.grid) * bound.grid + 0.0  # no -0, which has other bytes
    if dtype.kind == "f":
        most = float(np.finfo(dtype).max)
        return np.clip(found, -most, most).astype(dtype)
    info = np.iinfo(dtype)
    top = float(info.max) if info.bits < 64 else np.nextafter(float(info.max), 0)
    return np.clip(found, float(info.min), top).astype(dtype)


def _apart(data: bytes, dtype: np.dtype[Any], where: str) -> tuple[bytes, Values, bytes]:
    """Checksum, values that are kept as they are, and the rest."""
    try:
        count, begin = read_varint(data, CRC)
    except ValueError as error:
        raise FormatError(f"{where}: expected how many values are kept, got: {error}") from error
    end = begin + count * dtype.itemsize
    if len(data) < CRC or end > len(data):
        raise FormatError(f"{where}: expected {count} values that are kept as they are, got {len(data)} bytes in all")
    kept = np.frombuffer(data[begin:end], dtype.newbyteorder("<")).astype(dtype)
    return data[:CRC], kept, data[end:]

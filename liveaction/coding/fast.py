"""The coder of symbols that is fast: static tables, chosen by what lies around, and one rANS state.

rANS gives a stack, which is written from its end: an encoder keeps what it found of each part until all are there.
docs/entropy.md says how bytes are laid out.
"""

from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from liveaction.coding.entropy import (
    HEAD,
    Parts,
    Tables,
    Trace,
    check_shapes,
    next_magnitudes,
    trace_bits,
    trace_bytes,
    trace_chunk,
    trace_part,
)
from liveaction.coding.layout import STATE_BOTTOM, Magnitudes, bins, class_scales, plane
from liveaction.coding.optimise import WEIGHT, optimise_part
from liveaction.errors import FormatError


class FastEncoder:
    """A :class:`~liveaction.coding.parts.PartsEncoder`.

    Args:
        shapes: of the parts, ``[L_i, *c_i]``, coarse to fine.
        tables: of each part.
        dead_zone: round so: pull values by so much of a step towards 0 first; None chooses the symbols of least squared
            error and ``weight`` times their bits.
        weight: squared steps that a bit is worth.

    Raises:
        FormatError: other channels or axes than the tables', or parts whose grids do not follow each other.
    """

    def __init__(
        self,
        shapes: Sequence[tuple[int, ...]],
        tables: Tables,
        dead_zone: float | None = None,
        weight: float = WEIGHT,
    ) -> None:
        check_shapes(shapes, tables, "latents")
        self.shapes, self.tables, self.dead_zone, self.weight = shapes, tables, dead_zone, weight
        self._found: list[Trace] = []

    def add(self, scaled: NDArray[np.float32]) -> NDArray[np.int32]:
        """See :class:`~liveaction.coding.parts.PartsEncoder`; arrays of any strides."""
        i = len(self._found)
        if scaled.shape != self.shapes[i]:
            raise FormatError(f"latents: expected a part {self.shapes[i]}, got {scaled.shape}")
        near = next_magnitudes(self._found[-1].magnitudes if i else None, self.shapes, i)
        if self.dead_zone is None:
            symbols, found = optimise_part(scaled, self.tables[i], near, self.weight)
        else:
            symbols = rounded(scaled, self.dead_zone)
            found = trace_part(symbols, self.tables[i], near)
        self._found.append(found)
        return symbols

    def bits(self) -> float:
        """What the tables' frequencies give the parts so far, side information included."""
        return sum(trace_bits(found, table) for found, table in zip(self._found, self.tables, strict=False))

    def finish(self) -> bytes:
        """See :class:`~liveaction.coding.parts.PartsEncoder`."""
        return trace_bytes(self._found, self.tables)


class FastDecoder:
    """A :class:`~liveaction.coding.parts.PartsDecoder`; ``shapes`` bound memory and time.

    Args:
        data: of :class:`FastEncoder`.
        shapes, tables: as there.
        where: stands first in errors.

    Raises:
        FormatError: ``shapes`` are not those of the tables, or the bytes cannot be those of a chunk.
    """

    def __init__(self, data: bytes, shapes: Sequence[tuple[int, ...]], tables: Tables, where: str) -> None:
        check_shapes(shapes, tables, where)
        if len(data) < HEAD or len(data) % 2 != HEAD % 2:
            raise FormatError(f"{where}: expected {HEAD} bytes and an even number more, got {len(data)}")
        self.shapes, self.tables, self.where = shapes, tables, where
        self._state, self._read = int.from_bytes(data[:HEAD], "little"), 0
        if self._state < STATE_BOTTOM:
            raise FormatError(f"{where}: expected a state from 2**24 on, got {self._state}; the data are damaged")
        self._words = np.frombuffer(data, "<u2", offset=HEAD).astype(np.uint16)
        self._near: Magnitudes | None = None
        self._done = 0

    def next(self) -> NDArray[np.int32]:
        """See :class:`~liveaction.coding.parts.PartsDecoder`."""
        from liveaction.coding.decode_numba import GOOD, decode

        shape, table = self.shapes[self._done], self.tables[self._done]
        self._near = next_magnitudes(self._near, self.shapes, self._done)
        part, at, offsets = np.empty((shape[0], prod(shape[1:])), np.int32), plane(shape[1:]), table.class_offset
        code, self._state, self._read = decode(
            part, at, table.context, class_scales(), bins(), self._near, offsets.astype(np.int64), table.sums,
            self._state, self._words, self._read,
        )  # fmt: skip
        if code != GOOD:
            self._check(code)
        self._done += 1
        return part.reshape(shape)

    @property
    def used(self) -> int:
        """See :class:`~liveaction.coding.parts.PartsDecoder`."""
        return HEAD + 2 * int(self._read)

    def finish(self) -> None:
        """See :class:`~liveaction.coding.parts.PartsDecoder`."""
        from liveaction.coding.decode_numba import GOOD

        self._check(GOOD)

    def _check(self, code: int) -> None:
        """Refuse what ``decode_numba.decode`` says, unless all is well and at its end."""
        from liveaction.coding.decode_numba import GOOD, NO_TOKEN, TOO_LARGE

        where, read, words = self.where, self._read, len(self._words)
        if code == TOO_LARGE:
            raise FormatError(f"{where}: expected symbols below 2**24 in size, got others; the data are damaged")
        if code == NO_TOKEN:
            raise FormatError(f"{where}: expected a token, got a number without meaning; the data are damaged")
        if code != GOOD or read != words:
            more = " or more" if code != GOOD else ""
            raise FormatError(f"{where}: expected {read}{more} words of symbols, got {words}; the data are damaged")
        if self._state != STATE_BOTTOM:
            raise FormatError(f"{where}: expected the state 2**24 at the end, got {self._state}; the data are damaged")


def encode_chunk(parts: Parts, tables: Tables) -> bytes:
    """Bytes of the parts ``[L_i, *c_i]`` of a chunk, symbols smaller than 2**24 in size, of any strides.

    Raises:
        FormatError: see :func:`~liveaction.coding.entropy.trace_chunk`.
    """
    return trace_bytes(trace_chunk(parts, tables), tables)


def decode_chunk(data: bytes, shapes: Sequence[tuple[int, ...]], tables: Tables, where: str) -> list[NDArray[np.int32]]:
    """Symbols of ``shapes``, each ``[L_i, *c_i]``, from :func:`encode_chunk`.

    Raises:
        FormatError: the bytes are not those of such a chunk, or ``shapes`` are not those of the tables.
    """
    decoder = FastDecoder(data, shapes, tables, where)
    parts = [decoder.next() for _ in shapes]
    decoder.finish()
    return parts


def rounded(scaled: NDArray[np.float32], dead_zone: float) -> NDArray[np.int32]:
    """Latents in steps to symbols: pulled towards 0 by ``dead_zone``, then rounded half to even."""
    small = np.maximum(np.abs(scaled) - np.float32(dead_zone), 0)
    return np.copysign(np.rint(small), scaled).astype(np.int32)

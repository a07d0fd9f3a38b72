"""The coder of symbols that makes few bytes: every decision by a mix of what contexts say, which learn as it goes.

It looks at what the fast coder looks at, by the same tables, starts each chunk from a state that training left, and
puts decisions with a range coder. docs/entropy.md says how bytes are laid out.
"""

from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from liveaction.coding.entropy import Tables, check_shapes, check_symbols, next_magnitudes
from liveaction.coding.fast import rounded
from liveaction.coding.layout import Magnitudes, bins, class_scales, plane
from liveaction.coding.mixing import Mixing, copied
from liveaction.coding.optimise import WEIGHT, flat_latents
from liveaction.errors import FormatError

END_BITS = 8
"""Even decisions of 0 behind the last part: of damaged chunks one in 256 passes them."""
Kinds = Sequence[NDArray[np.int64]]
"""Of each part's channels: :func:`~liveaction.coding.mixing.kinds_of`."""


def most_small(channels: int, positions: int) -> int:
    """Bytes at most: a decision takes 11 bits, a symbol 34 decisions and 26 bits, a channel's head 85 and 30."""
    return channels * (52 * positions + 128) + 64


class _Parts:
    """What encoder and decoder share: where they are in a chunk.

    Args:
        shapes: of the parts, ``[L_i, *c_i]``, coarse to fine.
        tables, kinds: of each part.
        state: that the chunk starts from; it is copied.
        where: stands first in errors.

    Raises:
        FormatError: other channels or axes than the tables', or parts whose grids do not follow each other.
    """

    def __init__(
        self, shapes: Sequence[tuple[int, ...]], tables: Tables, kinds: Kinds, state: Mixing, where: str
    ) -> None:
        check_shapes(shapes, tables, where)
        self.shapes, self.tables, self.kinds, self.where = shapes, tables, kinds, where
        self.state = copied(state)
        self._near: Magnitudes | None = None
        self._done = 0
        self._data = np.zeros(0, np.uint8)
        self._range = np.zeros(0, np.int64)

    def _walk(self, symbols: NDArray[np.int32], latents: NDArray[np.float32], way: int, weight: float) -> None:
        """Symbols ``[L, N]`` of the next part."""
        from liveaction.coding.decode_numba import GOOD
        from liveaction.coding.mixing_walk_numba import NO_CLASS, walk

        i = self._done
        table, at = self.tables[i], plane(self.shapes[i][1:])
        self._near = next_magnitudes(self._near, self.shapes, i)
        found = walk(
            symbols, latents, way, weight, at, table.context, class_scales(), bins(),
            table.class_offset.astype(np.int64), table.costs.residuals, self._near, self.kinds[i], self.state,
            self._range, self._data,
        )  # fmt: skip
        if found == NO_CLASS:
            raise FormatError(f"{self.where}: expected a class, got a number without meaning; the data are damaged")
        if found != GOOD:
            raise FormatError(f"{self.where}: expected symbols below 2**24 in size, got others; the data are damaged")
        self._done += 1


class SmallEncoder(_Parts):
    """A :class:`~liveaction.coding.parts.PartsEncoder`.

    Args:
        shapes: of the parts, ``[L_i, *c_i]``, coarse to fine.
        tables, kinds: of each part.
        state: that the chunk starts from.
        dead_zone, weight: as of :class:`~liveaction.coding.fast.FastEncoder`; bits are those of the moment.

    Raises:
        FormatError: other channels or axes than the tables', or parts whose grids do not follow each other.
    """

    def __init__(
        self,
        shapes: Sequence[tuple[int, ...]],
        tables: Tables,
        kinds: Kinds,
        state: Mixing,
        dead_zone: float | None = None,
        weight: float = WEIGHT,
    ) -> None:
        from liveaction.coding.range_numba import begin

        super().__init__(shapes, tables, kinds, state, "latents")
        self.dead_zone, self.weight = dead_zone, weight
        self._data = np.empty(sum(most_small(shape[0], prod(shape[1:])) for shape in shapes), np.uint8)
        self._range = begin()

    def add(self, scaled: NDArray[np.float32]) -> NDArray[np.int32]:
        """See :class:`~liveaction.coding.parts.PartsEncoder`; arrays of any strides."""
        from liveaction.coding.mixing_walk_numba import CHOOSE

        shape = self._expected(scaled.shape)
        if self.dead_zone is not None:
            return self.put(rounded(scaled, self.dead_zone))
        flat = flat_latents(scaled)
        symbols = np.empty(flat.shape, np.int32)
        self._walk(symbols, flat, CHOOSE, self.weight)
        return symbols.reshape(shape)

    def put(self, symbols: NDArray[np.int32]) -> NDArray[np.int32]:
        """Code the symbols of the next part as they are, and give them back.

        Raises:
            FormatError: they are of another shape, or one is of 2**24 or more in size.
        """
        from liveaction.coding.mixing_walk_numba import PUT

        self._expected(symbols.shape)
        check_symbols(symbols)
        flat = np.array(symbols, np.int32, order="C").reshape(len(symbols), -1)
        self._walk(flat, np.zeros((1, 1), np.float32), PUT, 0.0)
        return symbols

    def _expected(self, found: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the next part, which is what was found."""
        if found != self.shapes[self._done]:
            raise FormatError(f"latents: expected a part {self.shapes[self._done]}, got {found}")
        return found

    def finish(self) -> bytes:
        """See :class:`~liveaction.coding.parts.PartsEncoder`."""
        from liveaction.coding.mixing_walk_numba import even
        from liveaction.coding.range_numba import finish

        even(0, END_BITS, self._range, self._data)
        return self._data[: finish(self._range, self._data)].tobytes()


class SmallDecoder(_Parts):
    """A :class:`~liveaction.coding.parts.PartsDecoder`; ``shapes`` bound memory and time.

    Args:
        data: of :class:`SmallEncoder`.
        shapes, tables, kinds, state: as there.
        where: stands first in errors.

    Raises:
        FormatError: ``shapes`` are not those of the tables, or no encoder's bytes begin so.
    """

    def __init__(
        self, data: bytes, shapes: Sequence[tuple[int, ...]], tables: Tables, kinds: Kinds, state: Mixing, where: str
    ) -> None:
        from liveaction.coding.range_numba import CODE, FULL, begin

        super().__init__(shapes, tables, kinds, state, where)
        self._data = np.frombuffer(bytearray(data), np.uint8)
        self._range = begin(self._data)
        if self._range[CODE] == FULL:  # below the range it stays below it
            raise FormatError(f"{where}: expected no four bytes of 255 in front, got them; the data are damaged")

    def next(self) -> NDArray[np.int32]:
        """See :class:`~liveaction.coding.parts.PartsDecoder`."""
        from liveaction.coding.mixing_walk_numba import GET

        shape = self.shapes[self._done]
        symbols = np.empty((shape[0], prod(shape[1:])), np.int32)
        self._walk(symbols, np.zeros((1, 1), np.float32), GET, 0.0)
        return symbols.reshape(shape)

    @property
    def used(self) -> int:
        """See :class:`~liveaction.coding.parts.PartsDecoder`."""
        from liveaction.coding.range_numba import AT

        return min(int(self._range[AT]), len(self._data))

    def finish(self) -> None:
        """See :class:`~liveaction.coding.parts.PartsDecoder`."""
        from liveaction.coding.mixing_walk_numba import even
        from liveaction.coding.range_numba import AT

        end = even(0, END_BITS, self._range, self._data)
        read, count = int(self._range[AT]), len(self._data)
        if end:
            raise FormatError(f"{self.where}: expected 0 behind the symbols, got {end}; the data are damaged")
        if count > read or (count and not self._data[-1]):
            raise FormatError(
                f"{self.where}: expected at most {read} bytes and no 0 last, got {count}; the data are damaged"
            )

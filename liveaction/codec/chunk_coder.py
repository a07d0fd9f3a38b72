"""Between the latents of a chunk and the bytes of its symbols.

A chunk of a sparse encoder is coded in parts: its lowest bands are split on inside the chunk
(:class:`liveaction.transforms.continuation.Continuation`), and come first, from coarse to fine; all other bands follow,
where parts are predicted octave by octave. Every other chunk is one part. The latents of K components of an own basis
stand one component after the other, each with the L latent channels of the codec, and so do the rows of a part.
"""

from collections.abc import Iterator, Sequence
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.codec.prediction import Chunk, Predictor
from liveaction.coding.fast import FastDecoder, FastEncoder
from liveaction.coding.layout import LARGEST
from liveaction.coding.mixing import Mixing, kinds_of
from liveaction.coding.optimise import WEIGHT, largest_size
from liveaction.coding.parts import PartsDecoder, PartsEncoder
from liveaction.coding.small import SmallDecoder, SmallEncoder
from liveaction.coding.tables import EntropyTables, generic_tables
from liveaction.errors import FormatError, SpecError
from liveaction.spec import CodecSpec
from liveaction.transforms.continuation import Continuation

Floats = NDArray[Any]
Shapes = Sequence[tuple[int, ...]]
MOST_COMPONENTS, MOST_ROWS = 32, 4096
"""Components of an own basis that tables are fitted to, and rows of their tables; at least four components, whatever
their rows. The others take what the last of these has. A cube of 200 bands keeps as many at the rates where it looks
alike, and twice as many where a value is coded to its noise."""
PREDICTED = 4
"""One in so many bands of tokens, those of largest variance, is predicted from its neighbours. By trial, on squared
errors and bits by their weight: beside lowest bands alone, a fourth and all coarse details take 2.5 to 4 % less on CT
and 0.2 to 1.4 % on pictures; all bands hardly less than a fourth, in a third more of the encoder's time."""


class ChunkCoder:
    """The parts of a codec's chunks, and the tables that code them.

    Args:
        spec: of the codec, with one tree.
        channels: C; each has a lowest band.
        axes: D.
        latents: L.
        predictor: predicts each part from what is decoded of those before it.

    Attributes:
        rows: of each part, how many belong to one component.
        most: components that the tables are fitted to.
        predicted: of each part, how many of a component's rows are predicted from their neighbours: lowest bands are
            smooth, and details on coarse grids still follow edges. Of the bands of tokens the first
            1 / :data:`PREDICTED` are; see there.
        tables: one of each part.
        mixing: what the coder ``small`` starts a chunk from; None where it cannot.
    """

    def __init__(
        self, spec: CodecSpec, channels: int, axes: int, latents: int, predictor: Predictor | None = None
    ) -> None:
        self.latents, self.channels, self.predictor = latents, channels, predictor
        self.continuation = Continuation(spec.wavelet, spec.steps(axes))
        self.rows, self.predicted = [latents], [latents]
        if predictor is not None or self.continuation.steps:
            others = [latents - channels] if latents > channels else []
            others = others if predictor is None else predictor.octave_rows
            coarse = [channels * n for n in self.continuation.bands()]
            self.rows = [*coarse, *others]
            first = -(-sum(others) // PREDICTED)  # coarse octaves are of larger variance
            before = [sum(others[:i]) for i in range(len(others))]
            shares = (min(n, max(0, first - done)) for n, done in zip(others, before, strict=True))
            self.predicted = [*coarse, *shares]
        self.mixing: Mixing | None = None
        self.most = 1
        if spec.encoder.basis == "own":
            self.most = min(MOST_COMPONENTS, max(4, MOST_ROWS // latents))
        outer = [0, *(self.most * n for n in self.rows[:-1])]
        self.tables: tuple[EntropyTables, ...] = tuple(
            generic_tables(self.most * n, axes, before) for n, before in zip(self.rows, outer, strict=True)
        )

    def tables_of(self, components: int) -> tuple[EntropyTables, ...]:
        """The tables of chunks with so many components."""
        if self.most == 1 or components == self.most:
            return self.tables
        pairs = zip(self.tables, self.rows, strict=True)
        return tuple(table.for_components(components, rows) for table, rows in pairs)

    def parts(self, latents: Floats) -> list[Floats]:
        """A chunk's latents ``[K L, *c]`` in the parts that are coded, from coarse to fine."""
        if len(self.rows) == 1:
            return [np.ascontiguousarray(latents)]
        apart = latents.reshape(-1, self.latents, *latents.shape[1:])
        lowest = np.ascontiguousarray(apart[:, : self.channels])
        parts = self.continuation.split(lowest.reshape(-1, *latents.shape[1:]))
        return [*parts, *(apart[:, rows].reshape(-1, *latents.shape[1:]) for rows in self._octaves())]

    def _octaves(self) -> list[NDArray[np.int64]]:
        """The rows of a component in each part behind the lowest bands."""
        if self.predictor is not None:
            return self.predictor.rows()
        return [np.arange(self.channels, self.latents)] if self.latents > self.channels else []

    def join(self, parts: list[Floats], extents: tuple[int, ...]) -> Floats:
        """The inverse of :meth:`parts`; of the first parts alone what :meth:`decode` gives of them."""
        if len(self.rows) == 1:
            return parts[0]
        split = len(self.continuation.steps) + 1
        lowest = self.continuation.join(parts[:split], extents)
        if len(parts) <= min(split, len(self.rows) - 1):
            return lowest
        lowest = lowest.reshape(-1, self.channels, *extents)
        make = np.empty if len(parts) == len(self.rows) else np.zeros
        latents = make((len(lowest), self.latents, *extents), lowest.dtype)
        latents[:, : self.channels] = lowest
        for rows, part in zip(self._octaves(), parts[split:], strict=False):
            latents[:, rows] = part.reshape(len(lowest), -1, *extents)
        return latents.reshape(-1, *extents)

    def shapes(self, components: int, extents: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Shapes of the parts of a chunk of ``extents``."""
        sizes = self.continuation.shapes(extents)
        sizes += [extents] * (len(self.rows) - len(sizes))
        return [(components * n, *size) for n, size in zip(self.rows, sizes, strict=True)]

    def grid(self, extents: tuple[int, ...], first: int) -> tuple[int, ...]:
        """Of a chunk of ``extents`` the positions that its ``first`` parts have."""
        for step in self.continuation.steps[: max(0, len(self.continuation.steps) + 1 - first)]:
            extents = tuple(-(-n // 2) if on else n for n, on in zip(extents, step, strict=True))
        return extents

    def encode(self, latents: Floats, step: float, dead_zone: float | None = None, coder: str = "fast") -> bytes:
        """The bytes of a chunk's latents ``[K L, *c]``, which are rounded on the way.

        Args:
            latents: companded ones.
            step: of the quantiser.
            dead_zone: round so: pull values by so much of a step towards 0 first; None chooses the symbols that cost
                least in distortion and bits together.
            coder: ``fast`` or ``small``.

        Raises:
            SpecError: the step is so small that symbols are out of range, or there is no state of the coder.
            FormatError: a latent is not finite.
        """
        components = len(latents) // self.latents
        if not components:
            return b""
        shapes = self.shapes(components, latents.shape[1:])
        encoder = self.encoder(shapes, components, coder, dead_zone)
        for _ in self._coded(latents, step, encoder):
            pass
        return encoder.finish()

    def cost(self, latents: Floats, step: float) -> float:
        """Squared error in squares of the step, and bits by their weight, of what :meth:`encode` makes of latents.

        Raises:
            SpecError, FormatError: as :meth:`encode`.
        """
        components = len(latents) // self.latents
        if not components:
            return 0.0
        coder = FastEncoder(self.shapes(components, latents.shape[1:]), self.tables_of(components))
        squares = 0.0
        for scaled, symbols in self._coded(latents, step, coder):
            error = np.subtract(scaled, symbols, dtype=np.float32).ravel()
            squares += float(error @ error)
        return squares + WEIGHT * coder.bits()

    def residuals(self, latents: Floats, step: float, coder: PartsEncoder) -> list[Floats]:
        """The parts of a chunk as a coder is given them, in steps; what it makes of each, the next ones rest on."""
        return [scaled for scaled, _ in self._coded(latents, step, coder)]

    def encoder(self, shapes: Shapes, components: int, coder: str, dead_zone: float | None = None) -> PartsEncoder:
        """What codes a chunk of parts of ``shapes``, :meth:`shapes`.

        Raises:
            SpecError: there is no state of the coder.
        """
        tables = self.tables_of(components)
        if coder == "fast":
            return FastEncoder(shapes, tables, dead_zone)
        return SmallEncoder(shapes, tables, kinds_of(self.rows, components), self._start(), dead_zone)

    def decoder(self, data: bytes, shapes: Shapes, components: int, coder: str, where: str) -> PartsDecoder:
        """What decodes a chunk of :meth:`encoder`.

        Raises:
            SpecError: there is no state of the coder.
            FormatError: no encoder's bytes begin so.
        """
        tables = self.tables_of(components)
        if coder == "fast":
            return FastDecoder(data, shapes, tables, where)
        return SmallDecoder(data, shapes, tables, kinds_of(self.rows, components), self._start(), where)

    def _start(self) -> Mixing:
        if self.mixing is None:
            raise SpecError("coder small: expected a state to start from, got none; liveaction freeze makes it")
        return self.mixing

    def _coded(self, latents: Floats, step: float, coder: PartsEncoder) -> Iterator[tuple[Floats, NDArray[np.int32]]]:
        """Give a coder the parts of a chunk; of each what it was given, in steps, and the symbols that it chose."""
        with np.errstate(invalid="ignore"):  # of latents that are not finite the size of a part tells
            parts = self.parts(latents)
        check_sizes(parts, step)
        components = len(latents) // self.latents
        chunk = Chunk(self.predictor, components, latents.shape[1:], step)
        for part in parts:
            guess = chunk.next()
            scaled = (part if guess is None else part - guess) * np.float32(1 / step)
            symbols = coder.add(scaled)
            if self.predictor is not None:
                chunk.put(symbols, guess)
            yield scaled, symbols

    def decode(
        self,
        data: bytes,
        components: int,
        extents: tuple[int, ...],
        step: float,
        where: str,
        coder: str = "fast",
        dtype: type[np.float32] | type[np.float64] = np.float32,
        first: int | None = None,
    ) -> Floats:
        """The dequantised latents ``[K L, *c]`` of a chunk, of the coder of :meth:`encode`, as ``dtype``.

        Of its ``first`` parts alone: where they end before or with the continuation, the lowest bands ``[K C, *]`` on
        the grid that these parts have; else all latents, with 0 for those of the parts left out. The bytes behind them
        are not looked at.

        Raises:
            FormatError: the bytes do not hold them.
        """
        wanted = len(self.rows) if first is None else first
        if not components:
            return np.zeros((0, *self.grid(extents, wanted)), dtype)
        shapes = self.shapes(components, extents)
        decoder = self.decoder(data, shapes, components, coder, where)
        chunk = Chunk(self.predictor, components, extents, step, dtype)
        parts = [chunk.put(decoder.next(), chunk.next()) for _ in shapes[:wanted]]
        if wanted == len(shapes):
            decoder.finish()
        return self.join(parts, extents)


def check_sizes(parts: list[Floats], step: float) -> None:
    """Refuse latents that symbols of this step cannot be.

    Raises:
        SpecError: the step is too small for them.
        FormatError: they are not finite.
    """
    largest = float(np.max([largest_size(part) for part in parts]))
    if not isfinite(largest):
        raise FormatError(
            f"latents: expected finite ones, got {largest:.3g}; the signal's values or the model's weights are too "
            "large"
        )
    if not largest / step < LARGEST - 1:
        raise too_fine(largest / step, step)


def too_fine(largest: float, step: float) -> SpecError:
    """What to raise where the largest symbol is no integer that float32 holds exactly, or no number."""
    if not isfinite(largest):
        return SpecError(f"quantiser: expected finite latents, got {largest}; look for NaN or infinite samples")
    return SpecError(
        f"quantiser: expected symbols below 2**24, got {largest:.3g} with step {step:.3g}; take a step of at "
        f"least {step * largest / LARGEST * 2:.1g}"
    )

"""A signal at a half, a quarter or an eighth of its samples along its axes, from a part of what a stream holds.

The 2**(d - k) lowest of the 2**d bands of an axis are a transform of the same kind, of a signal of every 2**k-th
sample; where one band is left, the parts of a chunk that continue it go on from there, and later ones are not decoded.
What both leave over, as axes of other factors do, and all of it where a network has the last word, is averaged over
boxes.
"""

from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from liveaction.codec.grid import Box, ChunkLayout, shape_of, slices
from liveaction.errors import SpecError
from liveaction.transforms.octaves import band_numbers
from liveaction.transforms.wavelet import reflection

if TYPE_CHECKING:
    from liveaction.codec.codec import Codec
    from liveaction.nn.band_rotation import BandRotation

Scale = str | float | Fraction
_ROOT = 2**0.5
"""What a halving of an axis multiplies a constant by."""

MOST_HALVINGS = 3
"""Tokens of most codecs have four or eight samples an axis; coarser than that there is little left to see."""


def halvings_of(scale: Scale) -> int:
    """How often a scale halves: 0 of 1, to 3 of 1/8.

    Raises:
        SpecError: another scale.
    """
    try:
        found = {Fraction(1, 2**k): k for k in range(MOST_HALVINGS + 1)}.get(Fraction(scale))
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        found = None
    if found is None:
        raise SpecError(f"--scale: expected 1, 1/2, 1/4 or 1/8, got {str(scale)[:40]!r}")
    return found


class Scaling:
    """How the streams of one codec are decoded at a scale.

    Args:
        codec: of the stream's tree.
        full: how the latents of the whole signal are cut.
        halvings: per axis.

    Attributes:
        factors: full samples per sample along each axis.
        origin: where the first sample lies, in full samples from the first full one on: 0 where a wavelet's low pass
            has its middle on a sample, (factor - 1) / 2 where boxes or cosines do.
        extents: of the whole at this scale.
        parts: of a chunk that are decoded; None for all.
        latents: of a component that these parts hold.
        layout: how the latents that these parts hold are cut; its samples are averaged over ``rest``.
        rest: samples per axis of a box.
    """

    def __init__(self, codec: "Codec", full: ChunkLayout, halvings: tuple[int, ...]) -> None:
        self.codec, self.full = codec, full
        self.factors = tuple(2**k for k in halvings)
        native = any(halvings) and codec.separable and codec.behind is None
        dropped = tuple(_of_bands(codec, axis, k) if native else 0 for axis, k in enumerate(halvings))
        per_token = tuple(f >> k for f, k in zip(full.factors, dropped, strict=True))
        left = [k - done for k, done in zip(halvings, dropped, strict=True)]
        self._token = [0] * len(left)  # halvings of the grid of tokens, by leaving out parts that continue it
        self._lowest, self.parts = self._first_parts(per_token, left) if native else (False, None)
        self.latents = codec.channels if self._lowest else codec.latents
        self.rest = tuple(2**k for k in left)
        done = [k + token for k, token in zip(dropped, self._token, strict=True)]
        self._gain = _ROOT ** sum(dropped)
        self.origin = tuple(
            (0.0 if codec.packets.levels[axis] and not reflection(codec.packets.wavelet) else (2**k - 1) / 2)
            + (box - 1) / 2 * 2 ** done[axis]
            for axis, (k, box) in enumerate(zip(dropped, self.rest, strict=True))
        )
        sizes = [-(-n // 2**k) for n, k in zip(full.extents, done, strict=True)]
        self.extents = tuple(-(-n // box) for n, box in zip(sizes, self.rest, strict=True))
        chunk = tuple(-(-n // 2**k) for n, k in zip(full.chunk, self._token, strict=True))
        window = tuple(-(-n // 2**k) for n, k in zip(full.window, self._token, strict=True))
        window = tuple(
            w if w >= -(-n // f) else _aligned(w, f, box)
            for w, n, f, box in zip(window, sizes, per_token, self.rest, strict=True)
        )
        halo = 0 if self._lowest else full.halo
        self.layout = full if not any(halvings) else ChunkLayout(tuple(sizes), per_token, chunk, window, halo)
        self._bank: tuple[Any, torch.Tensor] | None = None
        if any(dropped) and not self._lowest:
            bank = codec.packets.smaller(per_token)
            known = {tuple(row): i for i, row in enumerate(band_numbers(codec.packets).tolist())}
            self._bank = bank, torch.tensor([known[tuple(row)] for row in band_numbers(bank).tolist()], device="cpu")

    def _first_parts(self, per_token: tuple[int, ...], left: list[int]) -> tuple[bool, int | None]:
        """Whether the lowest bands alone are decoded, and how many parts of a chunk; takes from ``left``."""
        chunks = self.codec.chunks
        if len(chunks.rows) == 1:
            return False, None
        if any(n > 1 for n in per_token):
            if self.codec.predictor is None:
                return False, None
            octaves = max(n.bit_length() - 1 for n in per_token)
            return False, len(chunks.continuation.steps) + 1 + octaves
        parts = len(chunks.continuation.steps) + 1
        for step in chunks.continuation.steps:
            after = [token + on for token, on in zip(self._token, step, strict=True)]
            whole = all(c >= g or c % 2**k == 0 for c, g, k in zip(self.full.chunk, self.full.grid, after, strict=True))
            if not whole or any(on > more for on, more in zip(step, left, strict=True)):
                break
            self._token, parts = after, parts - 1
            for axis, on in enumerate(step):
                left[axis] -= on
        return True, parts

    def chunk_gain(self, number: int) -> float:
        """What the latents of a chunk's parts are to be divided by: its left out steps, which keep a single sample."""
        if not self._lowest:
            return 1.0
        chunks, extents = self.codec.chunks, shape_of(self.full.chunk_box(number))
        gain, count = 1.0, len(chunks.continuation.steps) + 1
        for step in chunks.continuation.steps[: count - (self.parts or count)]:
            gain *= _ROOT ** sum(on and n > 1 for on, n in zip(step, extents, strict=True))
            extents = tuple(-(-n // 2) if on else n for n, on in zip(extents, step, strict=True))
        return gain

    def full_window(self, window: Box) -> Box:
        """A window of ``layout`` among the latents of the whole signal."""
        ends = zip(window, self._token, self.full.grid, strict=True)
        return tuple((low << k, min(high << k, n)) for (low, high), k, n in ends)

    def shrunk(self, box: Box) -> Box:
        """Samples at this scale of a box of full samples."""
        return tuple((low // f, -(-high // f)) for (low, high), f in zip(box, self.factors, strict=True))

    def samples(self, window: Box) -> Box:
        """Samples at this scale of a window."""
        return tuple(
            (low // n, -(-high // n)) for (low, high), n in zip(self.layout.samples(window), self.rest, strict=True)
        )

    def needed(self, box: Box) -> Box:
        """Samples of ``layout`` that a box of samples at this scale is made of."""
        ends = zip(box, self.rest, self.layout.extents, strict=True)
        return tuple((low * n, min(high * n, most)) for (low, high), n, most in ends)

    def synthesise(self, latents: torch.Tensor, window: Box, step: float) -> torch.Tensor:
        """Samples ``[B, C, *]`` of a window of dequantised latents ``layout.around(window)``, ``[B, L, *]``."""
        x = self._made(latents, window, step)
        for axis, box in enumerate(self.rest):
            x = _averaged(x, axis + 2, box)
        return x

    def _made(self, latents: torch.Tensor, window: Box, step: float) -> torch.Tensor:
        codec, layout = self.codec, self.layout
        if not len(latents) or (self._bank is None and not self._lowest):
            return codec.decode_window(latents, layout, window, step)
        if self._lowest:
            lowest = latents[:, : codec.channels]
            weight = cast("BandRotation", codec.decoder.linear).weight
            x = lowest if weight is None else torch.einsum("cd,bc...->bd...", weight[0].to(lowest.dtype), lowest)
            return x / self._gain
        assert self._bank is not None
        bank, places = self._bank
        v = codec.coefficients(latents).unflatten(1, (codec.channels, -1))
        with torch.autocast(v.device.type, enabled=False):
            made: torch.Tensor = bank.inverse(v.index_select(2, places.to(v.device)).flatten(1, 2))
        around = layout.around(window)
        return made[(slice(None), slice(None), *slices(layout.samples(window), layout.samples(around)))] / self._gain

    def mask(self, missing: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Of full samples ``[C, *]`` from a window's first on, where half of a box or more are missing."""
        if max(self.factors) == 1:
            return missing
        counts: NDArray[np.int32] = missing.astype(np.int32)
        sizes = np.ones((), np.int64)
        for axis, f in enumerate(self.factors):
            starts = np.arange(0, missing.shape[axis + 1], f)
            counts = np.add.reduceat(counts, starts, axis + 1)
            here = np.minimum(f, missing.shape[axis + 1] - starts)
            sizes = np.multiply.outer(sizes, here)
        halves: NDArray[np.bool_] = 2 * counts >= sizes
        return halves


def _of_bands(codec: "Codec", axis: int, halvings: int) -> int:
    """How many of an axis's halvings leaving out its bands gives."""
    factor = codec.packets.factors[axis]
    return max(k for k in range(halvings + 1) if factor % 2**k == 0)


def _aligned(window: int, factor: int, box: int) -> int:
    """Whole windows whose samples are whole boxes."""
    least = window
    while window * factor % box:
        window += least
    return window


def _averaged(x: torch.Tensor, axis: int, box: int) -> torch.Tensor:
    """Means over boxes along an axis; the last one may be shorter."""
    if box == 1:
        return x
    whole = x.shape[axis] // box * box
    made = [x.narrow(axis, 0, whole).unflatten(axis, (-1, box)).mean(axis + 1)] if whole else []
    if whole < x.shape[axis]:
        made.append(x.narrow(axis, whole, x.shape[axis] - whole).mean(axis, keepdim=True))
    return torch.cat(made, axis)

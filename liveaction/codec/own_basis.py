"""A KLT of one signal's own channels, which its stream carries: bands of a cube, microphones of an array, echoes.

What is sent is integers. The vector of a component is ``sigma * sqrt(N) * b``, for its deviation, N positions and the
eigenvector b of the covariance, in units of the step that the components themselves are quantised with: a bit spent on
either then saves as much error. Both sides make the orthonormal basis of those integers. As its rows are orthonormal,
the squared error of the components is that of the channels, to which comes what no component holds.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from math import ceil, log, prod

import numpy as np
import torch
from numpy.typing import NDArray

from liveaction.codec.channel_moments import MOST_CHANNELS, ChannelMoments
from liveaction.codec.own_basis_coding import Scale, bits_after, fitting_scale, orthonormal, pack, unpack
from liveaction.codec.quality import check_step
from liveaction.errors import FormatError, ShapeError

MOST_LOADINGS = 1 << 22
"""Components times channels: 32 MiB as float64, and a second or two of the decoder, whatever a stream says."""
MOST_SEEN = 1 << 28
"""Values that a fit looks at, more or less: of 200 bands they take some three seconds of a processor, of 4096 half a
minute; no covariance needs more."""
_WORTH_SINE = 2.0**-6
"""Vectors that are sent lean so much out of the span of those before: far from where the decoder refuses them, and a
small vector that leans less is all rounding."""
CONCENTRATED = 16
"""A component that is small in the mean saves this part of its energy, since calls and tones lie in few latents. Where
vectors are short, of microphones, all but silence pays so; where they are long, of bands, nearly what pays anyway."""
LEAST = 2**10
"""Components of a variance that much below the quantiser's error are not looked at."""
_BLOCK = 1 << 22
"""Values that are taken at once, 16 MiB."""


@dataclass(frozen=True, eq=False)
class OwnBasis:
    """A mean and orthonormal rows that take C channels to K <= C components, and back.

    Attributes:
        symbols: int32 ``[1 + K, C]``, the mean and the vectors.
        scale: what they are multiples of.
        step: of the quantiser of the components.
    """

    symbols: NDArray[np.int32]
    scale: Scale
    step: float

    @property
    def components(self) -> int:
        """K; 0 for a signal of which its mean says all that the step shows."""
        return len(self.symbols) - 1

    @property
    def channels(self) -> int:
        """C."""
        return int(self.symbols.shape[1])

    @cached_property
    def mean(self) -> NDArray[np.float64]:
        """``[C]``."""
        found: NDArray[np.float64] = self.symbols[0] * self.scale.quanta(self.step)[0]
        return found

    @cached_property
    def matrix(self) -> NDArray[np.float64]:
        """``[K, C]``, orthonormal rows."""
        return orthonormal(self.symbols[1:], "own basis")

    def to_bytes(self) -> bytes:
        """For a stream, which says C, K and the step itself."""
        return pack(self.symbols, self.scale)

    @classmethod
    def from_bytes(cls, data: bytes, channels: int, components: int, step: float, where: str) -> "OwnBasis":
        """The basis that :meth:`to_bytes` wrote; C and K, which are bounded, bound time and memory.

        Args:
            data: nothing but the basis.
            channels: C; ``components``: K; ``step``: of the quantiser, from 2**-100 to 2**100.
            where: stands first in messages.

        Raises:
            FormatError: the bytes are not those of a mean and K independent vectors of C integers each.
        """
        if not 1 <= channels <= MOST_CHANNELS:
            raise FormatError(f"{where}: expected 1 to {MOST_CHANNELS} channels, got {channels}")
        most = _most_components(channels)
        if not 0 <= components <= most:
            raise FormatError(f"{where}: expected 0 to {most} components of {channels} channels, got {components}")
        basis = cls(*unpack(data, (components + 1, channels), where), step)
        largest = float(np.abs(basis.mean).max())
        if largest > float(np.finfo(np.float32).max):
            raise FormatError(f"{where}: expected means within float32, got {largest:.3g}; the data are damaged")
        basis.__dict__["matrix"] = orthonormal(basis.symbols[1:], where)  # what the property keeps
        return basis

    def analyse(self, x: torch.Tensor) -> torch.Tensor:
        """Components ``[K, *S]`` of ``x`` ``[C, *S]``, float32 or float64, on its device.

        Any finite values may stand in a bad band. Beside the result it takes some 16 MiB, and a copy of ``x`` where
        that is not contiguous.

        Raises:
            ShapeError: other channels, or another dtype.
        """
        flat, mean, matrix = self._ready(x, self.channels, "channels")
        out = flat.new_empty(self.components, flat.shape[1])
        for part in self._blocks(flat):
            out[:, part] = matrix @ (flat[:, part] - mean)
        return out.reshape(self.components, *x.shape[1:])

    def synthesise(self, c: torch.Tensor) -> torch.Tensor:
        """Channels ``[C, *S]`` of components ``c`` ``[K, *S]``, float32 or float64, on their device; of none, the mean.

        Raises:
            ShapeError: other components, or another dtype.
        """
        flat, mean, matrix = self._ready(c, self.components, "components")
        out = flat.new_empty(self.channels, flat.shape[1])
        for part in self._blocks(flat):
            out[:, part] = (matrix.T @ flat[:, part]).add_(mean)
        return out.reshape(self.channels, *c.shape[1:])

    @cached_property
    def _float32(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean ``[C, 1]`` and matrix; the mean is the same number on both sides, so that its rounding costs nothing."""
        mean, matrix = self._float64
        return mean.float(), matrix.float()

    @cached_property
    def _float64(self) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.from_numpy(self.mean)[:, None], torch.from_numpy(self.matrix)

    def _ready(self, x: torch.Tensor, rows: int, what: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        if x.dtype not in (torch.float32, torch.float64) or x.ndim < 1 or len(x) != rows:
            raise ShapeError(f"own basis: expected {rows} {what} of float32, got {tuple(x.shape)} of {x.dtype}")
        mean, matrix = self._float64 if x.dtype == torch.float64 else self._float32
        return x.reshape(rows, prod(x.shape[1:])), mean.to(x.device), matrix.to(x.device)

    def _blocks(self, flat: torch.Tensor) -> Iterator[slice]:
        length = max(_BLOCK // self.channels, 1)
        return (slice(start, start + length) for start in range(0, flat.shape[1], length))


def fit_own_basis(moments: ChannelMoments, step: float, positions: int) -> OwnBasis:
    """The basis of a signal whose components are quantised with ``step``, and as many components as pay.

    A component pays where its variance exceeds the error of the quantiser, ``step**2 / 12``, by more than the bits of
    its vector cost, at the quantiser's own rate of exchange: a bit saves ``2 ln 2 * step**2 / 12``; or where a share of
    the variance does, since what is small in the mean may be large in places and at frequencies.

    Args:
        moments: of the signal, or of a share of it.
        step: positive.
        positions: N of the whole signal; the more there are, the finer is the basis.

    Raises:
        FormatError: a value of the signal was NaN or infinite.
        SpecError: a step that :func:`liveaction.codec.quality.check_step` refuses.
    """
    check_step(step, "own basis: step")
    mean, covariance = moments.mean(), moments.covariance()
    error = step * step / 12
    variances, vectors = np.linalg.eigh(covariance)
    count = min(int((variances >= error).sum()), _most_components(moments.channels))
    tried = min(int((variances >= error / LEAST).sum()), _most_components(moments.channels))
    loadings = (vectors * np.sqrt(np.maximum(variances, 0))).T[::-1][:tried]
    # its greatest entry is positive, so that the sign is not the library's choice
    loadings = loadings * np.sign(np.take_along_axis(loadings, np.abs(loadings).argmax(1)[:, None], 1))
    largest = float(np.abs(mean).max()), float(np.abs(loadings).max(initial=0))
    scale = fitting_scale(step, _worth_positions(positions, count, int((np.diagonal(covariance) > 0).sum())), *largest)
    rows = np.concatenate([mean[None] / scale.quanta(step)[0], loadings / scale.quanta(step)[1]])
    worth = 2 * log(2) * error / max(positions, 1)
    return OwnBasis(_paying(np.rint(rows).astype(np.int32), covariance, error, worth), scale, step)


def _worth_positions(positions: int, components: int, varying: int) -> float:
    """N for the quantum of the vectors: less where they leave few of the ``varying`` channels' directions open.

    An error of a vector costs what it turns towards those, and next to nothing towards the other vectors. A quarter at
    the least, for a basis that is turned within its span decorrelates less.
    """
    return max(positions, 1) * max(1 - components / max(varying, 1), 0.25)


def _paying(
    symbols: NDArray[np.int32], covariance: NDArray[np.float64], error: float, worth: float
) -> NDArray[np.int32]:
    """The mean, and of the vectors after it those that save more than ``worth`` of their bits."""
    kept, directions = [symbols[0]], np.empty((len(symbols) - 1, symbols.shape[1]))
    for row in symbols[1:]:
        if not row.any():
            continue
        own, rows = row / float(np.linalg.norm(row)), directions[: len(kept) - 1]
        for _ in range(2):  # once more, as what the first round leaves may be small
            own = own - (rows @ own) @ rows
        sine = float(np.linalg.norm(own))
        if sine < _WORTH_SINE:
            continue
        own /= sine
        # of the direction that is left, as others have the rest
        variance = float(own @ covariance @ own)
        if worth * bits_after(kept, row) < max(variance - error, variance / CONCENTRATED):
            directions[len(kept) - 1] = own
            kept.append(row)
    return np.stack(kept)


def fit_from(
    boxes: Iterable[tuple[NDArray[np.float32], NDArray[np.bool_] | None]], step: float, positions: int | None = None
) -> OwnBasis:
    """:func:`fit_own_basis` of boxes ``[C, *S]`` and what is missing in each, in one pass.

    It costs about C / 2 products in float64 a value. Give every :func:`box_stride`-th box of a large signal.

    Args:
        boxes: one at a time is held.
        step: positive.
        positions: of the whole signal; None where the boxes are all of it.

    Raises:
        FormatError, SpecError: as there.
        ShapeError: no box, boxes of unlike channels, or more of them than ``MOST_CHANNELS``.
    """
    moments: ChannelMoments | None = None
    for x, missing in boxes:
        moments = moments or ChannelMoments(len(x))
        moments.add(x, missing)
    if moments is None:
        raise ShapeError("own basis: expected at least one box of the signal, got none")
    return fit_own_basis(moments, step, moments.seen if positions is None else positions)


def box_stride(values: int) -> int:
    """Which boxes a fit takes of a signal of so many values: all up to 2**28, every n-th beyond."""
    return max(ceil(values / MOST_SEEN), 1)


def _most_components(channels: int) -> int:
    return min(channels, MOST_LOADINGS // channels)

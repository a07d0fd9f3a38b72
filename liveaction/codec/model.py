"""The codec between tensors.

    x ─ pad ─ wavelet packets, companded where the spec says ─ encoder ─ y ─ quantise ─ symbols
    x̂ ─ crop ─ inverse packets ───────────────────────────── decoder ─ ŷ ─ dequantise ───┘

B batch, C channels, D axes, S extents, J levels per axis, E = C * prod 2**J, L latent channels, G = ceil(S / 2**J).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Protocol

import torch
from torch import nn

from liveaction.coding.quantize import add_noise, build_quantizer, to_symbols
from liveaction.errors import ShapeError, SpecError
from liveaction.kernels.parallel import over_tokens
from liveaction.nn.decoder import Decoder
from liveaction.nn.encoder import Encoder
from liveaction.spec import CodecSpec, Recipe
from liveaction.transforms.packet import WaveletPacket
from liveaction.transforms.wavelet import support
from liveaction.transforms.window import crop, pad_to_multiple, slabs

MOST_AT_ONCE = 2**26
"""Samples whose packets the codec holds at a time, about; without gradients, larger signals go slab by slab."""

HALO = 1
"""Latents of its neighbours that a part is decoded with, on either side."""

LARGEST_SYMBOL = 2**24


@dataclass(frozen=True)
class CodecOutput:
    """What one training step needs: reconstruction ``[B, C, *S]`` and companded latents ``[B, L, *G]`` before noise."""

    reconstruction: torch.Tensor
    companded: torch.Tensor


class Source(Protocol):
    """A signal ``[B, C, *S]`` in [-1, 1] that is made where it is asked for, as ``torch.Tensor.narrow`` does."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole."""

    def narrow(self, dim: int, start: int, length: int) -> torch.Tensor:
        """``length`` entries of dimension ``dim`` from ``start`` on."""


@dataclass(frozen=True)
class Part:
    """``x`` ``[B, C, *]``, the samples of a decoded signal from ``start`` on along ``axis``, all of the other axes."""

    axis: int
    start: int
    x: torch.Tensor


class Codec(nn.Module):
    """Encoder, quantiser and decoder around wavelet packets.

    Args:
        spec: the recipe's ``codec`` table.
        channels: C.
        axes: D.

    Raises:
        SpecError: the wavelet, its boundary or the head width do not fit.
    """

    def __init__(self, spec: CodecSpec, channels: int, axes: int) -> None:
        super().__init__()
        self.spec, self.channels, self.axes = spec, channels, axes
        width = channels * spec.bands(axes)
        levels = spec.levels_per_axis(axes)
        self.packets = WaveletPacket(spec.wavelet, levels, spec.boundary, spec.packet_order, spec.compand)
        self.encoder = Encoder(spec.encoder, axes, width, spec.latent_channels)
        self.quantizer = build_quantizer(spec.quantizer, spec.latent_channels)
        self.decoder = Decoder(spec.decoder, axes, width, spec.latent_channels)
        self.compute_dtype = getattr(torch, spec.compute_dtype)

    def analyse(self, x: torch.Tensor) -> torch.Tensor:
        """Padded wavelet packets ``[B, E, *G]`` in float32 (float64 for float64 input), companded where the spec says.

        Raises:
            ShapeError: ``x`` is not ``[B, C, *S]`` with at least one sample per axis.
        """
        if x.ndim != self.axes + 2 or x.shape[1] != self.channels or 0 in x.shape:
            raise ShapeError(
                f"codec: expected [B, {self.channels}, *S] with {self.axes} axes of at least one sample, "
                f"got {tuple(x.shape)}"
            )
        with torch.autocast(x.device.type, enabled=False):
            wide = torch.float64 if x.dtype == torch.float64 else torch.float32
            v: torch.Tensor = self.packets(pad_to_multiple(x.to(wide), self.packets.factors))
            return v

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Signal in [-1, 1] to latents: ``[B, C, *S] -> [B, L, *G]``, float32.

        Extents that are not multiples of 2**J are padded by repeating the last sample.
        """
        return self._encode(x, lambda y: y)

    def to_symbols(self, x: torch.Tensor | Source, step: float | None = None) -> torch.Tensor:
        """Signal in [-1, 1] to symbols, :meth:`quantize` of :meth:`encode`: ``[B, C, *S] -> [B, L, *G]``, int32.

        Latents are rounded where they are made: on CPUs piece by piece, in the same threads. A large ``x`` is asked for
        slab by slab, so it need not be there as a whole.

        Raises:
            SpecError: as :meth:`quantize`.
        """
        with torch.no_grad():
            return self._encode(x, lambda y: self.quantize(y, step))

    def _encode(self, x: torch.Tensor | Source, last: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """``last`` of the latents, element by element; of some tokens at a time where the encoder allows it."""
        if torch.is_grad_enabled() or self.spec.encoder.kind == "paper":
            x = x.narrow(0, 0, x.shape[0])
            v = self.analyse(x)
            with self._compute(x):
                return last(self._wide(self.encoder(v)))
        size = prod(x.shape)
        if size <= MOST_AT_ONCE or self.spec.boundary != "symmetric":
            return self._encode_tokens(x.narrow(0, 0, x.shape[0]), last)
        axis = max(range(self.axes), key=lambda a: x.shape[a + 2])
        levels = self.packets.levels[axis]
        halo = support(self.spec.wavelet, levels)
        cuts = slabs(x.shape[axis + 2], 2**levels, halo, MOST_AT_ONCE * x.shape[axis + 2] // size)
        pieces = []
        for slab in cuts:
            y = self._encode_tokens(x.narrow(axis + 2, slab.start, slab.stop - slab.start), last)
            pieces.append(y.narrow(axis + 2, slab.skip, slab.last - slab.first))
        return torch.cat(pieces, axis + 2)

    def _encode_tokens(self, x: torch.Tensor, last: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """As :meth:`_encode`, without slabs; no gradient, and an encoder that looks at single tokens."""
        v = self.analyse(x)
        with self._compute(x):
            y = over_tokens(lambda tokens: last(self._wide(self.encoder(tokens))), v.flatten(2))
            return y.reshape(*y.shape[:2], *v.shape[2:])

    def quantize(self, y: torch.Tensor, step: float | None = None) -> torch.Tensor:
        """Latents to symbols: int32 ``[B, L, *G]``, rounded half to even; ``step`` defaults to the recipe's.

        Raises:
            SpecError: the step is so small that symbols leave the integers which float32 holds exactly.
        """
        step = step or self.quantizer.step
        symbols = to_symbols(self.quantizer.compand(y), step)
        largest = symbols.abs().max().item() if symbols.numel() else 0.0
        if not largest < LARGEST_SYMBOL:
            raise SpecError(
                f"quantiser: expected symbols below 2**24, got {largest:.3g} with step {step:.3g}; take a step of at "
                f"least {step * largest / LARGEST_SYMBOL * 2:.1g}"
            )
        return symbols.to(torch.int32)

    def decode(self, symbols: torch.Tensor, extents: tuple[int, ...], step: float | None = None) -> torch.Tensor:
        """Symbols to signal: ``[B, L, *G] -> [B, C, *extents]``.

        Args:
            symbols: integers of any dtype.
            extents: S, the extents before padding.
            step: the quantiser step that the symbols were made with; defaults to the recipe's.

        Raises:
            ShapeError: the latent grid does not fit ``extents``.
        """
        grid = tuple(-(-n // f) for n, f in zip(extents, self.packets.factors, strict=True))
        if tuple(symbols.shape[1:]) != (self.spec.latent_channels, *grid):
            raise ShapeError(
                f"codec: expected symbols [B, {self.spec.latent_channels}, *{grid}] for extents {extents}, got "
                f"{tuple(symbols.shape)}"
            )
        parts = list(self.decode_slabs(symbols, extents, step))
        return parts[0].x if len(parts) == 1 else torch.cat([part.x for part in parts], parts[0].axis + 2)

    def decode_slabs(
        self, symbols: torch.Tensor, extents: tuple[int, ...], step: float | None = None
    ) -> Iterator[Part]:
        """:meth:`decode`, part by part along the longest axis, so that memory does not grow with it.

        Which parts there are depends on ``extents`` alone: the network sees each with :data:`HALO` latents of its
        neighbours on either side, the wavelets see as many as they reach. Without gradients only.
        """
        companded = symbols.float() * (step or self.quantizer.step)
        grid = symbols.shape[2:]
        axis = max(range(self.axes), key=lambda a: grid[a])
        blocks = grid[axis]
        count = max(2 * HALO, MOST_AT_ONCE * grid[axis] // (prod(grid) * self.channels * self.packets.bands))
        if count >= blocks or self.spec.boundary != "symmetric" or torch.is_grad_enabled():
            yield Part(axis, 0, self.synthesise(companded, extents))
            return
        factor = self.packets.factors[axis]
        reach = -(-support(self.spec.wavelet, self.packets.levels[axis]) // factor)
        kept, first, done = companded.new_empty(0), 0, 0  # packets of the blocks from ``first`` on; samples given out
        for begin in range(0, blocks, count):
            end = min(begin + count, blocks)
            low, high = max(begin - HALO, 0), min(end + HALO, blocks)
            v = self._packets(companded.narrow(axis + 2, low, high - low))
            v = v.narrow(axis + 2, begin - low, end - begin)
            kept = torch.cat([kept, v], axis + 2) if begin else v
            ready = blocks if end == blocks else max(end - reach, done)
            if ready > done:
                x = self._signal(kept).narrow(axis + 2, (done - first) * factor, (ready - done) * factor)
                left = tuple(n if a != axis else min(x.shape[a + 2], n - done * factor) for a, n in enumerate(extents))
                yield Part(axis, done * factor, crop(x, left))
                done = ready
            start = max(done - reach, first)
            kept, first = kept.narrow(axis + 2, start - first, end - start), start

    def _packets(self, companded: torch.Tensor) -> torch.Tensor:
        with self._compute(companded):
            return self._wide(self.decoder(self.quantizer.expand(companded)))

    def _signal(self, v: torch.Tensor) -> torch.Tensor:
        with torch.autocast(v.device.type, enabled=False):
            x: torch.Tensor = self.packets.inverse(v)
            return x

    def synthesise(self, companded: torch.Tensor, extents: tuple[int, ...]) -> torch.Tensor:
        """Dequantised (or noisy) companded latents to signal; the differentiable half of :meth:`decode`."""
        return crop(self._signal(self._packets(companded)), extents)

    def forward(self, x: torch.Tensor, rounded: bool = False, generator: torch.Generator | None = None) -> CodecOutput:
        """One pass for training.

        Args:
            x: ``[B, C, *S]`` in [-1, 1].
            rounded: give the decoder rounded latents (no gradient passes to the encoder) instead of noisy ones.
            generator: source of the noise.
        """
        step = self.quantizer.step
        with torch.set_grad_enabled(torch.is_grad_enabled() and not rounded):
            companded = self.quantizer.compand(self.encode(x))
            noisy = step * to_symbols(companded, step) if rounded else add_noise(companded, step, generator)
        return CodecOutput(self.synthesise(noisy, tuple(x.shape[2:])), companded)

    def _compute(self, x: torch.Tensor) -> torch.autocast:
        return torch.autocast(x.device.type, self.compute_dtype, enabled=self.compute_dtype != torch.float32)

    @staticmethod
    def _wide(x: torch.Tensor) -> torch.Tensor:
        return x.to(torch.promote_types(x.dtype, torch.float32))


def build_codec(recipe: Recipe) -> Codec:
    """The codec of a recipe, randomly started from torch's global generator."""
    return Codec(recipe.codec, recipe.modality.channels, recipe.axes)

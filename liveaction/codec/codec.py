"""The codec between tensors.

    x ─ pad ─ wavelet packets, companded where the spec says ─ encoder ─ y ─ quantise ─ symbols
    x̂ ─ crop ─ inverse packets ───────────────────────────── decoder ─ ŷ ─ dequantise ───┘

B batch, C channels, D axes, S extents, F samples per token along each axis (2**J of J levels, or the block of a lapped
axis), E = C * prod F, L latent channels, G = ceil(S / F).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import nn

from liveaction.codec import grid
from liveaction.codec.grid import Box, ChunkLayout, chunk_extents, relative, slices, window_extents
from liveaction.coding.quantize import add_noise, build_quantizer, to_symbols
from liveaction.coding.tables import generic_tables
from liveaction.errors import ShapeError, SpecError
from liveaction.kernels.parallel import over_tokens
from liveaction.nn.decoder import Decoder
from liveaction.nn.encoder import Encoder
from liveaction.spec import CodecSpec, Recipe
from liveaction.transforms.packet import WaveletPacket
from liveaction.transforms.window import crop, pad_to_multiple

LARGEST_SYMBOL = 2**24


@dataclass(frozen=True)
class CodecOutput:
    """What one training step needs: reconstruction ``[B, C, *S]`` and companded latents ``[B, L, *G]`` before noise."""

    reconstruction: torch.Tensor
    companded: torch.Tensor


class Source(Protocol):
    """A signal ``[B, C, *S]`` in [-1, 1] that is made where it is asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole."""

    def crop(self, box: Box) -> torch.Tensor:
        """The samples of a box, ``[B, C, *]``."""


@dataclass(frozen=True)
class _Tensor:
    """A tensor as a source."""

    x: torch.Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.x.shape)

    def crop(self, box: Box) -> torch.Tensor:
        return self.x[(slice(None), slice(None), *slices(box))]


class Codec(nn.Module):
    """Encoder, quantiser and decoder around wavelet packets.

    Args:
        spec: the recipe's ``codec`` table.
        channels: C.
        axes: D.

    Raises:
        SpecError: the wavelet, its boundary or the head width do not fit.

    Example:
        >>> import liveaction
        >>> codec = liveaction.build_codec(liveaction.load_recipe("ct_smoke")).eval()
        >>> x = torch.zeros(1, 1, 32, 40, 24)
        >>> y = codec.encode(x)
        >>> codec.decode(codec.quantize(y), (32, 40, 24)).shape
        torch.Size([1, 1, 32, 40, 24])
    """

    def __init__(self, spec: CodecSpec, channels: int, axes: int) -> None:
        super().__init__()
        self.spec, self.channels, self.axes = spec, channels, axes
        width = channels * spec.bands(axes)
        levels = spec.levels_per_axis(axes)
        blocks = spec.blocks_per_axis(axes)
        self.packets = WaveletPacket(spec.wavelet, levels, spec.boundary, spec.packet_order, spec.compand, blocks)
        self.encoder = Encoder(spec.encoder, axes, width, spec.latent_channels)
        self.quantizer = build_quantizer(spec.quantizer, spec.latent_channels)
        self.decoder = Decoder(spec.decoder, axes, width, spec.latent_channels)
        self.compute_dtype = getattr(torch, spec.compute_dtype)
        self.tables = generic_tables(spec.latent_channels, axes)

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

        Extents that are not multiples of F are padded by repeating the last sample.
        """
        return self._latents(self.analyse(x), lambda y: y)

    def to_symbols(self, x: torch.Tensor | Source, step: float | None = None) -> torch.Tensor:
        """Signal in [-1, 1] to symbols: ``[B, C, *S] -> [B, L, *G]``, int32. See :meth:`encode_slabs`."""
        source = _Tensor(x) if isinstance(x, torch.Tensor) else x
        layout = self.layout(tuple(source.shape[2:]))
        parts = list(self.encode_slabs(source, layout, step))
        if len(parts) == 1:
            return parts[0][1]
        symbols = parts[0][1].new_empty(*parts[0][1].shape[:2], *layout.grid)
        for box, part in parts:
            symbols[(slice(None), slice(None), *slices(box))] = part
        return symbols

    def encode_slabs(
        self, source: Source, layout: ChunkLayout, step: float | None = None
    ) -> Iterator[tuple[Box, torch.Tensor]]:
        """:meth:`quantize` of :meth:`encode`, box by box of whole chunks: latents of the box, symbols ``[B, L, *]``.

        The signal is asked for with the samples around a box that its packets depend on, and each chunk is encoded on
        its own, so symbols do not depend on how large the boxes are. Encoders that look at the whole signal, and axes
        that wrap, are encoded at once.

        Raises:
            SpecError: as :meth:`quantize`.
        """
        for box in self._slabs(layout):
            around = self._reach(layout, box)
            with torch.no_grad():
                v = self.analyse(source.crop(layout.samples(around)))
                v = v[(slice(None), slice(None), *slices(box, around))]
                chunks = [relative(layout.chunk_box(number), box) for number in layout.chunks_in(box)]
                symbols = self._latents(v, lambda y: self.quantize(y, step), chunks)
            del v  # before the next slab is made
            yield box, symbols

    def slabs(self, layout: ChunkLayout) -> list[Box]:
        """The latents whose samples :meth:`encode_slabs` asks for at a time."""
        return [self._reach(layout, box) for box in self._slabs(layout)]

    def _slabs(self, layout: ChunkLayout) -> Iterator[Box]:
        slab = layout.grid
        if self._separable and self.encoder.tokenwise:
            per_latent = self.channels * self.packets.bands
            slab = window_extents(layout.grid, layout.chunk, grid.SLAB_SAMPLES // per_latent, self._reaches(layout))
        return replace(layout, window=slab).windows()

    def _reaches(self, layout: ChunkLayout) -> list[int]:
        """Latents per axis, on either side, whose samples packets depend on beyond their own."""
        return [-(-reach // factor) for reach, factor in zip(self.packets.reaches, layout.factors, strict=True)]

    def _reach(self, layout: ChunkLayout, box: Box) -> Box:
        """A box of latents with those around it whose samples its packets depend on."""
        pairs = zip(box, self._reaches(layout), layout.grid, strict=True)
        return tuple((max(low - r, 0), min(high + r, g)) for (low, high), r, g in pairs)

    def _latents(
        self, v: torch.Tensor, last: Callable[[torch.Tensor], torch.Tensor], boxes: list[Box] | None = None
    ) -> torch.Tensor:
        """``last`` of the latents of packets, token by token where the encoder allows it."""
        with self._compute(v):
            if torch.is_grad_enabled() or not self.encoder.tokenwise:
                return last(self._wide(self.encoder(v)))
            return over_tokens(lambda tokens: last(self._wide(self.encoder(tokens))), v, boxes)

    def quantize(self, y: torch.Tensor, step: float | None = None) -> torch.Tensor:
        """Latents to symbols: int32 ``[B, L, *G]``, rounded half to even; ``step`` defaults to the recipe's.

        Raises:
            SpecError: the step is so small that symbols leave the integers which float32 holds exactly.
        """
        step = step or self.quantizer.step
        symbols = to_symbols(self.quantizer.compand(y), step, self.spec.quantizer.dead_zone)
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
        wanted = tuple(-(-n // f) for n, f in zip(extents, self.packets.factors, strict=True))
        if tuple(symbols.shape[1:]) != (self.spec.latent_channels, *wanted):
            raise ShapeError(
                f"codec: expected symbols [B, {self.spec.latent_channels}, *{wanted}] for extents {extents}, got "
                f"{tuple(symbols.shape)}"
            )
        layout = self.layout(extents)
        boxes = list(layout.windows())
        if len(boxes) == 1 or torch.is_grad_enabled():
            return self.synthesise(symbols.float() * (step or self.quantizer.step), extents)
        x = None
        for box in boxes:
            part = self.decode_window(
                symbols[(slice(None), slice(None), *slices(layout.around(box)))], layout, box, step
            )
            x = part.new_empty(*part.shape[:2], *extents) if x is None else x
            x[(slice(None), slice(None), *slices(layout.samples(box)))] = part
        assert x is not None
        return x

    def layout(self, extents: tuple[int, ...]) -> ChunkLayout:
        """How the latents of a signal of ``extents`` are cut into chunks, and decoded in windows."""
        whole = ChunkLayout(extents, self.packets.factors, extents, extents, 0)
        chunk = chunk_extents(whole.grid)
        if not self._separable or not self.decoder.windowed:
            return replace(
                whole, chunk=chunk, window=tuple(-(-g // c) * c for g, c in zip(whole.grid, chunk, strict=True))
            )
        positions = grid.WINDOW_SAMPLES // (self.channels * self.packets.bands)
        return replace(
            whole, chunk=chunk, window=window_extents(whole.grid, chunk, positions), halo=grid.halo_of(self.axes)
        )

    def decode_window(
        self, symbols: torch.Tensor, layout: ChunkLayout, box: Box, step: float | None = None
    ) -> torch.Tensor:
        """One window of :meth:`decode`.

        Args:
            symbols: of the latents ``layout.around(box)``, ``[B, L, *]``.
            layout: of the signal.
            box: latents of the window.
            step: as for :meth:`decode`.

        Returns:
            The samples ``layout.samples(box)``, ``[B, C, *]``.
        """
        around = layout.around(box)
        x = self._signal(self._packets(symbols.float() * (step or self.quantizer.step)))
        return x[(slice(None), slice(None), *slices(layout.samples(box), layout.samples(around)))]

    @property
    def _separable(self) -> bool:
        """Whether a part of the signal can be transformed without the whole: no axis wraps or folds."""
        return self.spec.boundary == "symmetric"

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
            if rounded:
                noisy = step * to_symbols(companded, step, self.spec.quantizer.dead_zone)
            else:
                noisy = add_noise(companded, step, generator)
        return CodecOutput(self.synthesise(noisy, tuple(x.shape[2:])), companded)

    def _compute(self, x: torch.Tensor) -> torch.autocast:
        return torch.autocast(x.device.type, self.compute_dtype, enabled=self.compute_dtype != torch.float32)

    @staticmethod
    def _wide(x: torch.Tensor) -> torch.Tensor:
        return x.to(torch.promote_types(x.dtype, torch.float32))


def build_codec(recipe: Recipe) -> Codec:
    """The codec of a recipe, randomly started from torch's global generator.

    Example:
        >>> import liveaction
        >>> codec = build_codec(liveaction.load_recipe("ct_smoke"))
        >>> codec.axes, codec.channels
        (3, 1)
    """
    return Codec(recipe.codec, recipe.modality.channels, recipe.axes)

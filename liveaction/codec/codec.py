"""The codec between tensors.

    x ─ pad ─ wavelet packets, companded where the spec says ─ encoder ─ y ─ quantise ─ symbols
    x̂ ─ crop ─ (network behind a sparse one) ─ inverse packets ─ decoder ─ ŷ ─ dequantise ──┘

B batch, C channels, D axes, S extents, J levels per axis, E = C * prod 2**J, L latent channels, G = ceil(S / 2**J).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Protocol

import torch
from torch import nn

from liveaction.codec import grid
from liveaction.codec.chunk_coder import ChunkCoder, too_fine
from liveaction.codec.grid import Box, ChunkLayout, chunk_extents, relative, slices, window_extents
from liveaction.codec.prediction import Predictor
from liveaction.coding.entropy import POSITIONS
from liveaction.coding.layout import LARGEST
from liveaction.coding.mixing import mixing_digest
from liveaction.coding.quantize import add_noise, build_quantizer, to_symbols
from liveaction.coding.tables import EntropyTables, tables_digest
from liveaction.errors import ShapeError, SpecError
from liveaction.kernels.parallel import over_tokens
from liveaction.nn.band_rotation import BandRotation
from liveaction.nn.correction import Correction
from liveaction.nn.decoder import Decoder
from liveaction.nn.encoder import Encoder
from liveaction.spec import CodecSpec, Recipe
from liveaction.transforms.packet import WaveletPacket
from liveaction.transforms.window import crop, pad_to_multiple

MOST_REACH = 4
"""Latents around a window of a sparse codec, at most. The longest wavelets reach two further, where they hold 4e-4 of
what lies beyond; two fewer would leave 3 % of it at the window's border."""


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
class Whole:
    """A tensor as a source."""

    x: torch.Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole."""
        return tuple(self.x.shape)

    def crop(self, box: Box) -> torch.Tensor:
        """The samples of a box, ``[B, C, *]``."""
        return self.x[(slice(None), slice(None), *slices(box))]


class Codec(nn.Module):
    """Encoder, quantiser and decoder around wavelet packets.

    Args:
        spec: the recipe's ``codec`` table.
        channels: C.
        axes: D.
        alone: leave the network behind a sparse encoder to the codec that this one is a tree of.

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

    def __init__(self, spec: CodecSpec, channels: int, axes: int, alone: bool = False) -> None:
        super().__init__()
        self.spec, self.channels, self.axes = spec, channels, axes
        width = channels * spec.bands(axes)
        levels = spec.levels_per_axis(axes)
        self.packets = WaveletPacket(
            spec.wavelet, levels, spec.boundary, spec.packet_order, spec.compand, spec.blocks_per_axis(axes)
        )
        self.latents = spec.latent_channels or width
        self.encoder = Encoder(spec.encoder, axes, width, self.latents, channels)
        self.quantizer = build_quantizer(spec.quantizer, self.latents)
        rotated, back = spec.encoder.basis == "trained", None
        if self.sparse:
            back = BandRotation(channels, width // channels, rotated, inverse=True)
        self.decoder = Decoder(spec.decoder, axes, width, self.latents, back)
        self.compute_dtype = getattr(torch, spec.compute_dtype)
        self.predictor: Predictor | None = None
        if spec.encoder.kind == "predicted":
            down = self.encoder.down
            assert isinstance(down, BandRotation)
            self.predictor = Predictor(spec, channels, axes, self.packets, down)
        self.chunks = ChunkCoder(spec, channels, axes, self.latents, self.predictor)
        self.others = nn.ModuleList(
            Codec(spec.tree(number + 1), channels, axes, alone=True) for number in range(len(spec.trees))
        )
        self._shared: tuple[Correction, ...] = ()  # in a tuple it is no part of a tree's own weights
        if self.sparse and spec.decoder.kind != "linear" and not alone:
            self.correction = Correction(spec.decoder, channels, spec.fold(axes))
            for tree in self.trees:
                tree._shared = (self.correction,)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(chain(self.parameters(), self.buffers())).device

    @property
    def sparse(self) -> bool:
        """Whether the latents are all coefficients."""
        return self.spec.encoder.sparse

    @property
    def behind(self) -> Correction | None:
        """The network behind a sparse encoder, which is the same for all trees."""
        return self._shared[0] if self._shared else None

    @property
    def own(self) -> bool:
        """Whether it codes the components of each signal's own basis."""
        return self.spec.encoder.basis == "own"

    @property
    def optimises(self) -> bool:
        """Whether symbols may be chosen by what they cost: distortion is that of the latents, all at one step."""
        return self.spec.quantizer.kind == "uniform" and not self.spec.compand

    @property
    def tables(self) -> tuple[EntropyTables, ...]:
        """Of the entropy coder: one of each part of a chunk."""
        return self.chunks.tables

    @tables.setter
    def tables(self, tables: tuple[EntropyTables, ...]) -> None:
        """Take others, of the same parts."""
        self.chunks.tables = tables

    @property
    def tables_digest(self) -> str:
        """SHA-256, in hexadecimal, of the tables of all trees; of a single one its own."""
        return tables_digest([tables for codec in self.trees for tables in codec.tables])

    @property
    def codes_small(self) -> bool:
        """Whether it has what the coder ``small`` starts from."""
        return all(tree.chunks.mixing is not None for tree in self.trees)

    def coding_digest(self, coder: str) -> str:
        """SHA-256, in hexadecimal, of all that decides what symbols are coded as.

        Raises:
            SpecError: the codec has no state of this coder.
        """
        if coder != "small":
            return self.tables_digest
        states = [tree.chunks.mixing for tree in self.trees if tree.chunks.mixing is not None]
        if not self.codes_small:
            raise SpecError(
                "coder small: expected a model with a state to start from, got one without; liveaction freeze makes it"
            )
        return mixing_digest(self.tables_digest, states)

    @property
    def trees(self) -> list["Codec"]:
        """The codec with each of its trees: itself, then those of ``spec.trees``."""
        return [self, *(other for other in self.others if isinstance(other, Codec))]

    def analyse(self, x: torch.Tensor) -> torch.Tensor:
        """Padded wavelet packets ``[B, E, *G]`` in float32 (float64 for float64 input), companded where the spec says.

        Raises:
            ShapeError: ``x`` is not ``[B, C, *S]`` with at least one sample per axis.
        """
        if x.ndim != self.axes + 2 or x.shape[1] != self.channels or 0 in x.shape[2:]:
            raise ShapeError(
                f"codec: expected [B, {self.channels}, *S] with {self.axes} axes of at least one sample, "
                f"got {tuple(x.shape)}"
            )
        if not len(x):  # a constant signal has no component
            sizes = zip(x.shape[2:], self.packets.factors, strict=True)
            return x.new_zeros(0, self.channels * self.packets.bands, *(-(-n // factor) for n, factor in sizes))
        with torch.autocast(x.device.type, enabled=False):
            wide = torch.float64 if x.dtype == torch.float64 else torch.float32
            v: torch.Tensor = self.packets(pad_to_multiple(x.to(wide), self.packets.factors))
            return v

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Signal in [-1, 1] to latents: ``[B, C, *S] -> [B, L, *G]``, float32.

        Extents that are not multiples of 2**J are padded by repeating the last sample.
        """
        return self._latents(self.analyse(x), lambda y: y)

    def to_symbols(self, x: torch.Tensor | Source, step: float | None = None) -> torch.Tensor:
        """Signal in [-1, 1] to symbols: ``[B, C, *S] -> [B, L, *G]``, int32. See :meth:`encode_slabs`."""
        source = Whole(x) if isinstance(x, torch.Tensor) else x
        layout = self.layout(tuple(source.shape[2:]))
        parts = list(self.encode_slabs(source, layout, step))
        if len(parts) == 1:
            return parts[0][1]
        symbols = parts[0][1].new_empty(*parts[0][1].shape[:2], *layout.grid)
        for box, part in parts:
            symbols[(slice(None), slice(None), *slices(box))] = part
        return symbols

    def encode_slabs(
        self, source: Source, layout: ChunkLayout, step: float | None = None, rounded: bool = True
    ) -> Iterator[tuple[Box, torch.Tensor]]:
        """:meth:`quantize` of :meth:`encode`, box by box of whole chunks: latents of the box, symbols ``[B, L, *]``.

        Where not ``rounded``, what is given is companded latents, float32, that somebody else rounds.

        The signal is asked for with the samples around a box that its packets depend on, and each chunk is encoded on
        its own, so symbols do not depend on how large the boxes are. Encoders that look at the whole signal, and axes
        that wrap, are encoded at once.

        Raises:
            SpecError: as :meth:`quantize`.
        """

        def last(y: torch.Tensor) -> torch.Tensor:
            return self.quantize(y, step) if rounded else self.quantizer.compand(y)

        for box in self._slabs(layout, source.shape[0]):
            around = self._reach(layout, box)
            with torch.no_grad():
                v = self.analyse(source.crop(layout.samples(around)))
                v = v[(slice(None), slice(None), *slices(box, around))]
                chunks = [relative(layout.chunk_box(number), box) for number in layout.chunks_in(box)]
                made = self._latents(v, last, chunks)
            del v  # before the next slab is made
            yield box, made

    def slabs(self, layout: ChunkLayout, batch: int = 1) -> list[Box]:
        """The latents whose samples :meth:`encode_slabs` asks for at a time, of so many signals side by side."""
        return [self._reach(layout, box) for box in self._slabs(layout, batch)]

    def _slabs(self, layout: ChunkLayout, batch: int) -> Iterator[Box]:
        slab = layout.grid
        if self.separable and self.encoder.tokenwise:
            per_latent = max(1, batch) * self.channels * self.packets.bands
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
            if not len(v):
                return last(v.new_zeros(0, self.latents, *v.shape[2:]))
            if torch.is_grad_enabled() or not self.encoder.tokenwise or self.encoder.moves_alone:
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
        if not largest < LARGEST:
            raise too_fine(largest, step)
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
        if tuple(symbols.shape[1:]) != (self.latents, *wanted):
            raise ShapeError(
                f"codec: expected symbols [B, {self.latents}, *{wanted}] for extents {extents}, got "
                f"{tuple(symbols.shape)}"
            )
        layout = self.layout(extents)
        boxes = list(layout.windows())
        step = step or self.quantizer.step
        if len(boxes) == 1 or torch.is_grad_enabled():
            return self.synthesise(symbols.float() * step, extents, step)
        x = None
        for box in boxes:
            part = symbols[(slice(None), slice(None), *slices(layout.around(box)))]
            part = self.decode_window(part.float() * step, layout, box, step)
            x = part.new_empty(*part.shape[:2], *extents) if x is None else x
            x[(slice(None), slice(None), *slices(layout.samples(box)))] = part
        assert x is not None
        return x

    def layout(self, extents: tuple[int, ...], batch: int = 1) -> ChunkLayout:
        """How the latents of a signal of ``extents`` are cut into chunks, and decoded in windows.

        Windows are smaller where ``batch`` signals are coded side by side; 0 of a constant signal count as one.
        """
        whole = ChunkLayout(extents, self.packets.factors, extents, extents, 0)
        chunk = self.chunk_of(whole.grid)
        if not self.separable or not self.decoder.windowed:
            return replace(
                whole, chunk=chunk, window=tuple(-(-g // c) * c for g, c in zip(whole.grid, chunk, strict=True))
            )
        positions = grid.WINDOW_SAMPLES // (max(1, batch) * self.channels * self.packets.bands)
        halo = min(max(self._reaches(whole)), MOST_REACH) if self.sparse else grid.halo_of(self.axes)
        if self.behind is not None:
            sides = zip(self.behind.fold, self.packets.factors[-len(self.behind.fold) :], strict=True)
            halo += min(max(-(-self.behind.reach * fold // factor) for fold, factor in sides), MOST_REACH)
        return replace(whole, chunk=chunk, window=window_extents(whole.grid, chunk, positions), halo=halo)

    def chunk_of(self, tokens: tuple[int, ...]) -> tuple[int, ...]:
        """Extents of a chunk in a grid of so many tokens."""
        if self.predictor is None:
            return chunk_extents(tokens)
        most = min(POSITIONS, grid.PREDICTED_SAMPLES // self.packets.bands)
        return chunk_extents(tokens, max(grid.CHUNK_TOKENS, most))

    def decode_window(
        self, companded: torch.Tensor, layout: ChunkLayout, box: Box, step: float | None = None
    ) -> torch.Tensor:
        """One window of :meth:`decode`.

        Args:
            companded: the dequantised latents ``layout.around(box)``, ``[B, L, *]``.
            layout: of the signal.
            box: latents of the window.
            step: of the quantiser; the recipe's where None.

        Returns:
            The samples ``layout.samples(box)``, ``[B, C, *]``.
        """
        around = layout.around(box)
        if not len(companded):
            sides = (high - low for low, high in layout.samples(box))
            return companded.new_zeros(0, self.channels, *sides)
        x = self._corrected(self._signal(self.coefficients(companded)), step)
        return x[(slice(None), slice(None), *slices(layout.samples(box), layout.samples(around)))]

    @property
    def separable(self) -> bool:
        """Whether a part of the signal can be transformed without the whole: no axis wraps or folds."""
        return self.spec.boundary == "symmetric"

    def coefficients(self, companded: torch.Tensor) -> torch.Tensor:
        """Dequantised latents to what the transform's inverse takes: ``[B, L, *G] -> [B, C*P, *G]``."""
        with self._compute(companded):
            return self._wide(self.decoder(self.quantizer.expand(companded)))

    def _signal(self, v: torch.Tensor) -> torch.Tensor:
        with torch.autocast(v.device.type, enabled=False):
            x: torch.Tensor = self.packets.inverse(v)
            return x

    def _corrected(self, x: torch.Tensor, step: float | None) -> torch.Tensor:
        if self.behind is None:
            return x
        usual = self.quantizer.step
        with self._compute(x):
            corrected: torch.Tensor = self.behind(x, step or usual, usual)
            return corrected

    def synthesise(self, companded: torch.Tensor, extents: tuple[int, ...], step: float | None = None) -> torch.Tensor:
        """Dequantised (or noisy) companded latents to signal; the differentiable half of :meth:`decode`.

        Args:
            companded: ``[B, L, *G]``; ``extents``: S.
            step: of the quantiser; the recipe's where None.
        """
        if not len(companded):  # a constant signal has no component
            return companded.new_zeros(0, self.channels, *extents)
        return crop(self._corrected(self._signal(self.coefficients(companded)), step), extents)

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
    return Codec(recipe.codec, recipe.channels, recipe.axes)

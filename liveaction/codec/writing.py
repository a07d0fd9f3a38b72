"""Signals into a container, one after the other: most hold one."""

import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from math import inf, prod
from typing import TYPE_CHECKING, Any, BinaryIO, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from liveaction.codec.bound import Bound, bound_for, check_error, check_exact, is_constant
from liveaction.codec.bounding import FINEST, FIRST, best_step, middle, residual_chunks, room_for
from liveaction.codec.chunks import pack_chunk
from liveaction.codec.clock import Stopwatch, Timings, timings
from liveaction.codec.codec import Codec
from liveaction.codec.front import front_of
from liveaction.codec.grid import Box, ChunkLayout, relative, slices
from liveaction.codec.header import MAX_VOXELS, WHOLE_SHARE, check_codec, parse_header
from liveaction.codec.lean import CODERS, make_header
from liveaction.codec.quality import choose_step
from liveaction.codec.slabs import KeptSlabs, encoded
from liveaction.codec.target import Aim, TargetOptions
from liveaction.coding.container import ContainerReader, ContainerWriter
from liveaction.errors import ShapeError, SpecError
from liveaction.kernels.parallel import in_threads
from liveaction.mapped import release_pages
from liveaction.signal import Signal

if TYPE_CHECKING:
    from liveaction.codec.model import Model
    from liveaction.modalities.base import Modality

Stage = Callable[[str], None]


@dataclass(frozen=True)
class Written:
    """A stream that was written: its bytes, its quantiser step, and how long it took.

    ``tree`` is the number of the codec's tree, ``components`` K of a basis of the signal's own, 0 without one;
    ``coder`` is that of the symbols.
    ``aim`` says how a target was reached, where there was one; seconds are then those of all trials together.
    ``limits`` are the values that map onto -1 and 1; ``clipped_share`` of those that are there lies outside of them and
    is clipped, ``missing_share`` of all is missing. ``bound`` is that on the error of every value, which nothing
    clips; None where there is none.
    """

    bytes: int
    step: float
    timings: Timings
    limits: tuple[float, float]
    clipped_share: float
    missing_share: float
    tree: int = 0
    components: int = 0
    coder: str = CODERS[0]
    aim: Aim | None = None
    bound: Bound | None = None


class WriteOptions(TypedDict, total=False):
    """Options of compressing at a step, all by name.

    Attributes:
        quality: 1 small .. 7 fine; 4 is the quantiser step that the model was trained with.
        step: the quantiser step itself, in latent units; a larger one gives fewer bits. Instead of ``quality``.
        extras: JSON data to keep in the header, which decoding does not need.
        strip_metadata: keep of the source's metadata those of geometry, type and unit alone.
        max_error: no value is to differ from the signal's by more, in its unit; 0 is lossless, for integers. What is
            left after decoding is coded, too; without ``step`` and ``quality`` the step is chosen that gives fewest
            bytes. For codecs without networks.
        fast: round symbols as they are, without weighing what each costs: in less time, of sparse codecs some 7 %
            more bits at equal error.
        coder: of symbols: ``small`` or ``fast``. By default ``small``, but ``fast`` where ``fast`` is asked for or the
            model is from before there was another.
        stage: is told what happens, in words.
    """

    quality: int | None
    step: float | None
    extras: Mapping[str, Any] | None
    strip_metadata: bool
    max_error: float | None
    fast: bool
    coder: str | None
    stage: Stage


class _How(TypedDict):
    """Options of writing at a step, all of them."""

    extras: Mapping[str, Any] | None
    strip_metadata: bool
    fast: bool
    coder: str | None
    stage: Stage


class CompressOptions(WriteOptions, TargetOptions):
    """Options of compressing, all by name: those of :class:`WriteOptions`, and of
    :class:`~liveaction.codec.target.TargetOptions` at most one, instead of ``step`` and ``quality``."""


class StreamWriter:
    """Writes signals of one model as the items of a container; memory does not grow with them.

    Args:
        file: empty; open to read and write, and able to seek.
        model: as ``liveaction.load`` gives it.
        slabs: where latents are kept for other writers of the same signal; nowhere by default.
        tree: number of the tree to take; None takes the one that costs a signal least.

    Attributes:
        model: as given.
    """

    def __init__(self, file: BinaryIO, model: "Model", slabs: KeptSlabs | None = None, tree: int | None = None) -> None:
        self._tree = tree
        self._file, self.model, self._encode = file, model, encoded if slabs is None else slabs.encoded
        self._writer: ContainerWriter | None = None

    def add(
        self,
        signal: Signal,
        *,
        quality: int | None = None,
        step: float | None = None,
        extras: Mapping[str, Any] | None = None,
        strip_metadata: bool = False,
        max_error: float | None = None,
        fast: bool = False,
        coder: str | None = None,
        stage: Stage = lambda text: None,
    ) -> Written:
        """Append a signal; its bytes are those of its chunks and of its part of what stands before them.

        Args:
            signal: values ``[C, *S]`` in the unit of the model's modality; mapped from a file, they are read box by
                box.
            quality, step, extras, strip_metadata, max_error, fast, coder, stage: see :class:`WriteOptions`.

        Raises:
            ShapeError, SpecError, FormatError: as :func:`liveaction.codec.stream.write_stream`; nothing is to be added
                after.
        """
        chosen = choose_step(self.model.codec.spec, step, quality)
        options: _How = {
            "extras": extras,
            "strip_metadata": strip_metadata,
            "fast": fast,
            "coder": coder,
            "stage": stage,
        }
        if max_error is None:
            return self._add(signal, chosen, **options)
        check_exact(self.model.codec, self.model.recipe.name)
        check_error(max_error)
        self._check_shape(signal)
        limits = self.model.modality.range_of(signal)
        bound = bound_for(max_error, signal.values.dtype, limits)
        whole = Stopwatch()
        with whole.running(stage):
            if step is None and quality is None and not is_constant(limits):
                chosen = self._best_step(signal, limits, bound, **options)
            written = self._add_bounded(signal, chosen, limits, bound, **options)
        rest = whole.wall - written.timings.tensors, whole.cpu - written.timings.tensors_cpu
        spent = replace(written.timings, coding=rest[0], coding_cpu=rest[1])
        return replace(written, timings=spent, clipped_share=0.0, bound=bound)

    def _best_step(self, signal: Signal, limits: tuple[float, float], bound: Bound, **options: Unpack["_How"]) -> float:
        """The step, in latent units, that gives fewest bytes for the middle of a signal."""
        part, tried, told = middle(signal), 0, options["stage"]
        options["stage"] = lambda text: None

        def cost(step: float) -> float:
            nonlocal tried
            tried += 1
            told(f"choosing a step, trial {tried}")
            writer = StreamWriter(io.BytesIO(), self.model, tree=self._tree)
            try:
                return writer._add_bounded(part, step, limits, bound, **options).bytes
            except SpecError:  # too fine
                return inf

        wanted = FIRST * bound.step * 2 / (float(limits[1]) - float(limits[0]))
        return best_step(cost, min(max(wanted, FINEST), 1.0))

    def _add_bounded(
        self, signal: Signal, step: float, limits: tuple[float, float], bound: Bound, **options: Unpack["_How"]
    ) -> Written:
        """Append a signal whose every value comes back within a bound."""
        with room_for(signal) as file:
            first = StreamWriter(file, self.model, tree=self._tree)
            written = first._add(signal, step, limits, bound, **options)
            first.close()
            raw = dict(first._writer.header) if first._writer is not None else {}
            container = ContainerReader(file, "stream")
            writer = self._begin(raw, container.chunks, container.side)
            if is_constant(limits):
                chunks: Iterable[bytes] = (container.read(number, 1 << 30) for number in range(container.chunks))
            else:
                chunks = residual_chunks(file, signal, self.model, bound, options["stage"])
            for chunk in chunks:
                writer.add(chunk)
        return replace(written, bytes=writer.item_bytes, bound=bound)

    def _check_shape(self, signal: Signal) -> None:
        codec, recipe = self.model.codec, self.model.recipe
        if not recipe.modality.takes(len(signal.values)) or len(signal.shape) != codec.axes or 0 in signal.shape:
            raise ShapeError(
                f"compress: expected values {recipe.modality.values} as recipe {recipe.name!r} has, got "
                f"{signal.values.shape}"
            )

    def _add(
        self,
        signal: Signal,
        chosen: float,
        limits: tuple[float, float] | None = None,
        bound: Bound | None = None,
        *,
        extras: Mapping[str, Any] | None,
        strip_metadata: bool,
        fast: bool,
        coder: str | None,
        stage: Stage,
    ) -> Written:
        """Append a signal at a step; where there is a bound, with nothing left of its chunks yet."""
        model = self.model
        codec, modality = model.codec, model.modality
        self._check_shape(signal)
        coder = choose_coder(codec, coder, fast)
        whole, coding = Stopwatch(), Stopwatch()
        stage("encoding")
        with whole.running(stage):
            limits = modality.range_of(signal) if limits is None else limits
            signal = modality.stripped(signal) if strip_metadata else signal
            front = front_of(model, signal, limits, chosen, stage, self._tree)
            codec = codec.trees[front.tree]
            raw = make_header(signal, model, front, chosen, limits, coder, extras or {}, bound)
            chunks = codec.layout(signal.shape, front.batch).chunks
            writer = self._begin(raw, chunks, front.side)
            layout = _read_back(writer, chunks, signal, model)
            dead_zone = None if codec.optimises and not fast else codec.spec.quantizer.dead_zone
            ready: dict[int, bytes] = {}
            following = done = clipped = 0
            stage("encoding")
            for box, arrived in self._encode(codec, front, layout, chosen):
                with coding.running():
                    packed = _pack_chunks(
                        arrived, box, layout, signal, lambda part: codec.chunks.encode(part, chosen, dead_zone, coder),
                        bound is not None,
                    )  # fmt: skip
                    ready |= packed
                    clipped += sum(_outside(number, layout, signal, modality, limits) for number in packed)
                    while following in ready:
                        writer.add(ready.pop(following))
                        following += 1
                done += prod(high - low for low, high in box)
                stage(f"encoding, {done / prod(layout.grid):.0%}")
        values = signal.values.size
        there = values if signal.missing is None else values - int(np.count_nonzero(signal.missing))
        shares = clipped / max(1, there), 1 - there / values
        return Written(
            writer.item_bytes, chosen, timings(whole, coding), limits, *shares, front.tree, front.components, coder
        )

    def close(self) -> int:
        """Write what stands before the chunks; the file itself stays open.

        Returns:
            The size of the container in bytes.

        Raises:
            SpecError: there is no item.
        """
        if self._writer is None:
            raise SpecError("compress: expected at least one signal, got none")
        return self._writer.close()

    def _begin(self, header: dict[str, Any], chunks: int, side: bytes) -> ContainerWriter:
        """The container, at its next item."""
        if self._writer is None:
            self._writer = ContainerWriter(self._file, header, chunks, side)
        else:
            self._writer.next_item(header, chunks, side)
        return self._writer


def choose_coder(codec: Codec, coder: str | None, fast: bool) -> str:
    """The coder of symbols: what is asked for, else ``small`` where there is time and a state of it.

    Raises:
        SpecError: there is no such coder, or the model has no state of it.
    """
    if coder is None:
        return "small" if codec.codes_small and not fast else "fast"
    if coder not in CODERS:
        raise SpecError(f"coder: expected one of {', '.join(CODERS)}, got {coder!r}")
    codec.coding_digest(coder)
    return coder


def _outside(
    number: int, layout: ChunkLayout, signal: Signal, modality: "Modality", limits: tuple[float, float]
) -> int:
    """How many of a chunk's values are clipped; pages of a mapped file are released behind it."""
    part = (slice(None), *slices(layout.samples(layout.chunk_box(number))))
    missing = None if signal.missing is None else signal.missing[part]
    count = modality.count_outside(signal.values[part], limits, missing)
    release_pages(signal.values)
    return count


def _read_back(writer: ContainerWriter, chunks: int, signal: Signal, model: "Model") -> ChunkLayout:
    """The layout in the header that is about to be written, which a reader must take.

    Raises:
        FormatError: it would not; the key at fault is named.
    """
    most = max(MAX_VOXELS, signal.values.size)  # who makes a larger one may read it
    header = parse_header(writer.header, chunks, "stream", most)
    check_codec(header, model, "stream", max(MAX_VOXELS, signal.values.size * WHOLE_SHARE))
    return header.layout


def _pack_chunks(
    latents: NDArray[np.float32],
    box: Box,
    layout: ChunkLayout,
    signal: Signal,
    encode: Callable[[NDArray[np.float32]], bytes],
    bounded: bool,
) -> dict[int, bytes]:
    """The bytes of the chunks in ``box``, whose latents ``[L, *]`` are given, by number."""

    def pack(number: int) -> bytes:
        chunk = layout.chunk_box(number)
        missing = None
        if signal.missing is not None:
            missing = signal.missing[(slice(None), *slices(layout.samples(chunk)))]
        return pack_chunk(encode(latents[(slice(None), *slices(relative(chunk, box)))]), missing, bounded)

    numbers = list(layout.chunks_in(box))
    return dict(zip(numbers, in_threads(pack, numbers), strict=True))

"""A stream that is open: any region of it, and what is damaged."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray

from liveaction.codec.bound import decode_bounded, is_constant, mapped
from liveaction.codec.chunks import unpack_bounded, unpack_coded, unpack_mask
from liveaction.codec.clock import Stopwatch, Timings, timings
from liveaction.codec.front import basis_of
from liveaction.codec.grid import Box, overlap, relative, shape_of, slices
from liveaction.codec.header import MAX_VOXELS, check_codec, parse_header
from liveaction.codec.kept import Kept
from liveaction.codec.outline import modality_of
from liveaction.codec.scaling import Scale, Scaling, halvings_of
from liveaction.coding.container import ContainerReader
from liveaction.errors import FormatError, LiveactionError, ShapeError, printable
from liveaction.kernels.parallel import in_threads
from liveaction.mapped import Room
from liveaction.signal import Signal

if TYPE_CHECKING:
    from liveaction.codec.model import Model


KEPT_BYTES = 2**27
"""Of decoded chunks that are kept for the windows beside them."""

WINDOW_BYTES = 2**28
"""Of decoded windows that are kept where a stream is read piece by piece."""


@dataclass(frozen=True)
class Damage:
    """A chunk that cannot be read: its number, its samples per axis, and why; of which item, where it was asked for."""

    chunk: int
    samples: Box
    reason: str
    item: int = 0


@dataclass(frozen=True)
class _Chunk:
    latents: NDArray[Any]  # float32, or float64 where there is a bound
    missing: NDArray[np.bool_] | None
    left: bytes = b""

    @property
    def nbytes(self) -> int:
        return self.latents.nbytes


@dataclass(frozen=True)
class _Window:
    values: NDArray[Any]
    missing: NDArray[np.bool_] | None

    @property
    def nbytes(self) -> int:
        return self.values.nbytes


class ReaderOptions(TypedDict, total=False):
    """Options of reading a stream, all by name; see :class:`StreamReader`."""

    fill: float | None
    max_voxels: int
    keep_windows: bool
    scale: Scale


class StreamReader:
    """Decodes regions of a stream, always in the same windows, so that a region has the samples that the whole has.

    Threads and forked processes may share it. It may be pickled where its container may; what it has decoded stays.

    Args:
        container: the stream.
        model: that made it.
        where: stands first in errors.
        fill: what to put where a chunk is damaged, in the unit; where None, damage is an error.
        max_voxels: a stream that declares more is refused before anything is allocated.
        keep_windows: keep the windows decoded last, for a stream that is read piece by piece.
        scale: 1, or 1/2, 1/4, 1/8 of the samples along the axes that the modality scales. A bound on the error does not
            hold then.

    Attributes:
        header: what the stream says of itself, of its full size.
        extents: S, at the scale.
        fill: the value put there, as the signal's dtype holds it.
        damaged: the chunks found damaged so far, by number; only with ``fill``.
        timings: spent so far; reading chunks counts as entropy decoding.

    Raises:
        FormatError: the header is wrong.
        IntegrityError: damaged, or made with another model.
        SpecError: another scale.
    """

    def __init__(
        self,
        container: ContainerReader,
        model: "Model",
        where: str,
        *,
        fill: float | None = None,
        max_voxels: int = MAX_VOXELS,
        keep_windows: bool = False,
        scale: Scale = 1,
    ) -> None:
        options: ReaderOptions = {
            "fill": fill, "max_voxels": max_voxels, "keep_windows": keep_windows, "scale": scale
        }  # fmt: skip
        halvings = halvings_of(scale)
        self._opened = container, model, where, options
        self.container, self.where = container, where
        self.header = parse_header(container.header, container.chunks, where, max_voxels)
        self.codec = check_codec(self.header, model, where, max_voxels)
        self.basis = basis_of(self.header, container, where)
        self.fill = _as(fill, np.dtype(self.header.dtype))
        _ = container.entries  # a wrong index is no damaged chunk
        own = self.header.modality == model.recipe.modality  # looking for one takes longer than decoding a small signal
        self.modality = model.modality if own else modality_of(self.header.modality, where)
        self.scaling = Scaling(
            self.codec, self.header.layout, tuple(halvings * on for on in self.modality.scaled_axes(self.header.axes))
        )
        self._components = self.header.components if self.codec.own else 1
        self.layout, self.extents = self.scaling.layout, self.scaling.extents
        self._bounded = not halvings and self.header.bound is not None and not is_constant(self.header.range)
        self._dtype: type[np.float32] | type[np.float64] = np.float64 if self._bounded else np.float32
        self.damaged: dict[int, Damage] = {}
        self._whole, self._coding = Stopwatch(), Stopwatch()
        self._kept = Kept[int, _Chunk](KEPT_BYTES)
        self._windows = Kept[Box, _Window](WINDOW_BYTES if keep_windows else 0)

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_again, self._opened

    @property
    def timings(self) -> Timings:
        """Seconds spent so far."""
        return timings(self._whole, self._coding)

    def read(self, region: Box | None = None, stage: Callable[[str], None] = lambda text: None) -> Signal:
        """The samples of a region, half-open ranges per axis; all of it where None.

        Raises:
            ShapeError: the region is empty or not within the signal.
            FormatError: a chunk is damaged, and there is nothing to fill in.
        """
        with self._whole.running(stage):
            whole, box = self._read(region, stage)
        factors, origin = self.scaling.factors, self.scaling.origin
        scaled = self._placed(lambda: self.modality.scaled(whole, factors, origin)) if max(factors) > 1 else whole
        if region is None:
            return scaled
        return self._placed(lambda: self.modality.cropped(scaled, box, self.extents))

    def _read(self, region: Box | None, stage: Callable[[str], None]) -> tuple[Signal, Box]:
        header, extents = self.header, self.extents
        box = tuple((0, n) for n in extents) if region is None else region
        if len(box) != len(extents) or any(
            not 0 <= low < high <= n for (low, high), n in zip(box, extents, strict=False)
        ):
            raise ShapeError(
                f"{self.where}: expected a region within {tuple((0, n) for n in extents)} with at least one sample per "
                f"axis, got {box}"
            )
        room: Room | None = None
        needed = self.scaling.needed(box)
        count = self.layout.count_windows(needed)
        for number, window in enumerate(self.layout.windows(needed)):
            stage(f"decoding, {number / count:.0%}")
            known = self._windows.get(window) or self._decode_window(window)
            self._windows.keep(window, known)
            if room is None:  # not before something was decoded: what a header declares may not be there
                room = Room((header.shape[0], *shape_of(box)), header.dtype)
            self._put(known, self.scaling.samples(window), room, box)
            del known  # before the next window is made
        assert room is not None
        whole = Signal(
            room.values, header.axes, header.unit, header.spacing, header.native_dtype, header.metadata, header.bits,
            room.missing, header.missing_value,
        )  # fmt: skip
        return whole, box

    def _put(self, known: _Window, samples: Box, room: Room, box: Box) -> None:
        """Put what a window shares with a box into the box's room."""
        shared = overlap(samples, box)
        target, origin = (slice(None), *slices(shared, box)), (slice(None), *slices(shared, samples))
        try:
            room.put(target, known.values[origin], None if known.missing is None else known.missing[origin])
        except OSError as error:
            raise FormatError(
                f"{self.where}: expected room for {room.shape} values of {self.header.dtype} in "
                f"{tempfile.gettempdir()!r}, got {error.strerror}; set TMPDIR to a larger place, or read a region"
            ) from error

    def _placed(self, place: Callable[[], Signal]) -> Signal:
        """What the modality makes of a region, or of a scale."""
        try:
            return place()
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            if isinstance(error, LiveactionError):
                raise
            raise FormatError(
                f"{self.where}: expected metadata that place a region or a scale, got {type(error).__name__}; read it "
                "without one"
            ) from error

    def _collect(self, window: Box) -> tuple[NDArray[Any], NDArray[np.bool_] | None, list[_Chunk]]:
        """Latents ``[L, *]`` of a window with its halo, where its samples ``[C, *]`` are missing, and their chunks."""
        header, layout, full = self.header, self.layout, self.header.layout
        around = layout.around(window)
        samples = full.samples(self.scaling.full_window(window))
        numbers = list(layout.chunks_in(around))
        chunks = self._chunks(numbers)
        latents = np.zeros((self._components * self.scaling.latents, *shape_of(around)), self._dtype)
        missing: NDArray[np.bool_] | None = None
        for number, chunk in zip(numbers, chunks, strict=True):
            box = layout.chunk_box(number)
            shared = overlap(box, around)
            latents[(slice(None), *slices(shared, around))] = chunk.latents[(slice(None), *slices(shared, box))]
            own = full.samples(full.chunk_box(number))
            inside = overlap(own, samples)
            if chunk.missing is not None and 0 not in shape_of(inside):
                missing = np.zeros((header.shape[0], *shape_of(samples)), bool) if missing is None else missing
                part = chunk.missing[(slice(None), *slices(inside, own))]
                missing[(slice(None), *slices(inside, samples))] = part
        lost = [layout.chunk_box(number) for number in numbers if number in self.damaged]
        if lost:
            _continue_into(latents, [relative(overlap(box, around), around) for box in lost])
        return latents, None if missing is None else self.scaling.mask(missing), chunks

    def unrounded(self, window: Box) -> NDArray[np.float64]:
        """Samples ``[C, *]`` of a window of a bounded stream in the unit, as its symbols alone have them."""
        with self._coding.running():
            latents, _, _ = self._collect(window)
        return mapped(self._synthesised(latents, window).cpu().numpy(), self.header.range)

    def _synthesised(self, latents: NDArray[Any], window: Box) -> torch.Tensor:
        """Samples ``[C, *]`` of a window, near [-1, 1]."""
        with torch.no_grad():
            apart = (
                torch.from_numpy(latents).unflatten(0, (self._components, self.scaling.latents)).to(self.codec.device)
            )
            x = self.scaling.synthesise(apart, window, self.header.step)
            x = x if self.basis is None else self.basis.synthesise(x[:, 0])[None]
        if not bool(torch.isfinite(x).all()):
            raise FormatError(
                f"{self.where}: expected finite samples, got others from the latents {window}; it is no signal's stream"
            )
        return x[0]

    def _decode_window(self, window: Box) -> _Window:
        """Values ``[C, *]`` of a window in the unit, and which of them are missing."""
        header, layout, scaling = self.header, self.layout, self.scaling
        with self._coding.running():
            latents, missing, chunks = self._collect(window)
        x = self._synthesised(latents, window)
        if self._bounded:
            values = self._completed(x, window, missing, chunks)
        else:
            values = self.modality.denormalise(x, header.dtype, header.range)
        if missing is not None:
            values[missing] = _as(header.missing_value, values.dtype)
        samples = scaling.samples(window)
        for number in layout.chunks_in(layout.around(window)):
            if number not in self.damaged:
                continue
            hole = overlap(scaling.shrunk(self.damaged[number].samples), samples)
            values[(slice(None), *slices(hole, samples))] = self.fill
        return _Window(values, missing)

    def _completed(
        self, x: torch.Tensor, window: Box, missing: NDArray[np.bool_] | None, chunks: list[_Chunk]
    ) -> NDArray[Any]:
        """Values ``[C, *]`` of a window of a bounded stream, with what its chunks have left."""
        header, layout = self.header, self.layout
        assert header.bound is not None
        bound, dtype, samples = header.bound, np.dtype(header.dtype), layout.samples(window)
        decoded = mapped(x.cpu().numpy(), header.range)
        values = np.zeros(decoded.shape, dtype)
        known = dict(zip(layout.chunks_in(layout.around(window)), chunks, strict=True))
        whole = not any(number in self.damaged for number in known)

        def complete(number: int) -> None:
            here = (slice(None), *slices(layout.samples(layout.chunk_box(number)), samples))
            gone = None if missing is None else missing[here]
            where = f"{self.where}: chunk {number}"
            try:
                values[here] = decode_bounded(known[number].left, decoded[here], gone, bound, dtype, where, whole)
            except FormatError as error:
                self._lose(number, error)

        in_threads(complete, [number for number in layout.chunks_in(window) if number not in self.damaged])
        return values

    def _chunks(self, numbers: list[int]) -> list[_Chunk]:
        """Decoded chunks, from those kept or from the file; the file is read by one thread, the decoding is not."""
        found = {number: kept for number in numbers if (kept := self._kept.get(number)) is not None}
        absent = [number for number in numbers if number not in found]
        data = [self._bytes(number) for number in absent]
        made = in_threads(lambda job: self._decode(*job), list(zip(absent, data, strict=True)))
        found |= dict(zip(absent, made, strict=True))
        for number in numbers:
            self._kept.keep(number, found[number])
        return [found[number] for number in numbers]

    def chunk_latents(self, numbers: list[int]) -> list[NDArray[Any]]:
        """Dequantised latents ``[L, *]`` of some chunks.

        Raises:
            FormatError: as :meth:`read`.
        """
        with self._whole.running(), self._coding.running():
            return [chunk.latents for chunk in self._chunks(numbers)]

    def _bytes(self, number: int) -> bytes | FormatError:
        try:
            return self.container.read(number, self.header.chunk_bytes(number))
        except FormatError as error:
            return error

    def _decode(self, number: int, data: bytes | FormatError) -> _Chunk:
        full, scaling = self.header.layout, self.scaling
        box = full.chunk_box(number)
        where = f"{self.where}: chunk {number}"
        try:
            if isinstance(data, FormatError):
                raise data
            version = self.container.version
            coded = unpack_coded(data, where, version)
            left = b""
            if self.header.bound is not None:
                left, coded = unpack_bounded(data, where)
            step, coder = self.header.step, self.header.coder
            latents = self.codec.chunks.decode(
                coded, self._components, shape_of(box), step, where, coder, self._dtype, scaling.parts
            )
            if (gain := scaling.chunk_gain(number)) != 1:
                latents /= gain
            missing = unpack_mask(data, (self.header.shape[0], *shape_of(full.samples(box))), where, version)
            return _Chunk(latents, missing, left)
        except FormatError as error:
            self._lose(number, error)
            shape = shape_of(self.layout.chunk_box(number))
            return _Chunk(np.zeros((self._components * scaling.latents, *shape), self._dtype), None)

    def _lose(self, number: int, error: FormatError) -> None:
        """Note a damaged chunk, which is filled.

        Raises:
            FormatError: there is nothing to fill in.
        """
        full = self.header.layout
        samples = full.samples(full.chunk_box(number))
        if self.fill is None:
            ranges = zip(self.header.axes, samples, strict=True)
            place = printable(", ".join(f"{axis} {low}:{high}" for axis, (low, high) in ranges))
            raise type(error)(f"{error} (chunk {number} holds {place}; --fill VALUE decodes the rest)") from error
        self.damaged[number] = Damage(number, samples, str(error))


def _made_again(container: ContainerReader, model: "Model", where: str, options: ReaderOptions) -> StreamReader:
    """What a pickled reader becomes."""
    return StreamReader(container, model, where, **options)


def _continue_into(latents: NDArray[Any], lost: list[Box]) -> None:
    """Put the nearest latents that are there where boxes were lost, so that what lies beside decodes well.

    Args:
        latents: ``[L, *]``, changed in place.
        lost: boxes within their grid.
    """
    from scipy.ndimage import distance_transform_edt

    gone = np.zeros(latents.shape[1:], bool)
    for box in lost:
        gone[slices(box)] = True
    if not gone.all():
        nearest = distance_transform_edt(gone, return_distances=False, return_indices=True)
        latents[:, gone] = latents[(slice(None), *nearest[:, gone])]


def _as(fill: float | None, dtype: np.dtype[Any]) -> Any:
    """A fill value in a signal's dtype, clipped to what it holds."""
    if fill is None:
        return fill
    if dtype.kind == "f":
        most = float(np.finfo(dtype).max)
        return dtype.type(fill if not np.isfinite(fill) else min(max(fill, -most), most))
    info = np.iinfo(dtype)
    return min(max(round(fill), info.min), info.max) if np.isfinite(fill) else 0

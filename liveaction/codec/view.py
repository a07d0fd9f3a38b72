"""``liveaction.open``: a stream as a read-only array of which only what is asked for is decoded."""

from collections.abc import Callable
from contextlib import ExitStack
from math import prod
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypedDict

import numpy as np
from numpy.typing import NDArray

from liveaction.codec.header import MAX_VOXELS, StreamHeader
from liveaction.codec.reader import StreamReader
from liveaction.codec.scaling import Scale
from liveaction.codec.stream import open_reader
from liveaction.coding.container import ContainerReader
from liveaction.coding.source import StreamData, bytes_or_path
from liveaction.errors import FormatError

if TYPE_CHECKING:
    from liveaction.codec.model import Model


class ViewOptions(TypedDict, total=False):
    """Options of opening a stream, all by name; see :class:`StreamView`."""

    item: int
    max_voxels: int
    scale: Scale


class StreamView:
    """A stream that is indexed like a NumPy array, with integers, slices of any step and ``...``.

    Its shape is that of the signal, ``[*S]`` for one channel and ``[C, *S]`` for several. Windows that were decoded
    last are kept, so reading slice by slice decodes each window once.

    Threads and forked processes may share a view, and it may be pickled, as for the workers of a loader: the path goes
    along, or the bytes, and the model with its weights. Where the file holds another stream when it is opened again,
    that is refused. A forked process decodes in one thread unless torch is told otherwise.

    Args:
        path: of the stream, or its bytes.
        model: that made it.
        item: which of the stream's items; most streams have one.
        max_voxels: a stream that declares more is refused before anything is allocated.
        scale: ``"1/2"``, ``"1/4"`` or ``"1/8"``, see :meth:`at`.

    Attributes:
        header: what the stream says of itself, of its full size.
        shape, ndim, size, dtype: as of an array.

    Raises:
        FormatError, IntegrityError: as :func:`liveaction.codec.stream.decompress`, also while indexing.
        SpecError: another scale.
    """

    def __init__(
        self, path: StreamData, model: "Model", *, item: int = 0, max_voxels: int = MAX_VOXELS, scale: Scale = 1
    ) -> None:
        data = bytes_or_path(path)
        with ExitStack() as stack:
            opened = open_reader(data, model, item=item, max_voxels=max_voxels, keep_windows=True, scale=scale)
            reader = stack.enter_context(opened)
            self._stack = stack.pop_all()
        self._begin(reader, data if isinstance(data, bytes) else data.absolute(), model, max_voxels, item, scale)

    @classmethod
    def of(cls, reader: StreamReader, data: bytes | Path, model: "Model", max_voxels: int, item: int) -> Self:
        """A view of what a reader of an item reads; whoever opened the file closes it.

        Args:
            reader: that keeps windows.
            data: what it reads, for other processes.
            model, max_voxels, item: that it was made with.
        """
        view = cls.__new__(cls)
        view._stack = ExitStack()
        view._begin(reader, data, model, max_voxels, item, 1)
        return view

    def _begin(
        self, reader: StreamReader, data: bytes | Path, model: "Model", max_voxels: int, item: int, scale: Scale
    ) -> None:
        self._reader, self._opened, self._closed = reader, (data, model, max_voxels, item, scale), False
        self.header: StreamHeader = self._reader.header
        channels, extents = self.header.shape[0], self._reader.extents
        self.shape: tuple[int, ...] = extents if channels == 1 else (channels, *extents)
        self.dtype = np.dtype(self.header.dtype)

    @property
    def ndim(self) -> int:
        """Number of axes, the channels' included where there are several."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<stream {self.header.recipe} {self.shape} {self.dtype.name}>"

    def __getitem__(self, key: Any) -> NDArray[Any]:
        if self._closed:
            raise ValueError("stream: expected one that is open, got one that was closed")
        entries = _expand(key, self.ndim)
        ranges, rest = zip(*(_bounds(entry, n) for entry, n in zip(entries, self.shape, strict=True)), strict=True)
        lead = self.ndim - len(self.header.axes)
        box = tuple(ranges[lead:])
        if any(low == high for low, high in ranges):
            shape = [high - low for low, high in ranges]
            nothing: NDArray[Any] = np.empty(shape, self.dtype)[tuple(rest)]
            return nothing
        values = self._reader.read(box).values
        values = values[slice(*ranges[0])] if lead else values[0]
        found: NDArray[Any] = np.asarray(values[tuple(rest)])
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("a stream cannot become an array without decoding; leave copy out")
        whole: NDArray[Any] = np.asarray(self[...], dtype)
        return whole

    def __reduce__(self) -> tuple[Any, ...]:
        if self._closed:
            raise ValueError("stream: expected one that is open, got one that was closed")
        return _opened_again, (*self._opened, self._reader.container.prefix)

    def at(self, scale: Scale) -> "StreamView":
        """The same stream with fewer samples, as another view, which is to be closed, too.

        What is left out is not decoded. Axes of time and bands, of several, keep their samples. A bound on the error
        does not hold for what is not the signal itself.

        Args:
            scale: of the full size, whatever this view's may be: ``"1/2"``, ``"1/4"``, ``"1/8"``, or such a number.

        Raises:
            SpecError: another scale.
            FormatError: another stream is there now.

        Example:
            >>> import liveaction
            >>> with liveaction.open("scan.lva", "runs/ct") as view, view.at("1/4") as small:
            ...     shapes = view.shape, small.shape
            >>> shapes
            ((64, 64, 40), (16, 16, 10))
        """
        if self._closed:
            raise ValueError("stream: expected one that is open, got one that was closed")
        data, model, max_voxels, item, _ = self._opened
        return _opened_again(data, model, max_voxels, item, scale, self._reader.container.prefix)

    def close(self) -> None:
        """Close the file; the view gives nothing any more."""
        self._closed = True
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _opened_again(
    data: bytes | Path, model: "Model", max_voxels: int, item: int, scale: Scale, prefix: bytes
) -> StreamView:
    """What a pickled view becomes, and a view at another scale.

    Raises:
        FormatError: another stream is there now.
    """
    view = StreamView(data, model, item=item, max_voxels=max_voxels, scale=scale)
    check_opened(view.close, view._reader.container, prefix)
    return view


def check_opened(close: Callable[[], None], container: ContainerReader, prefix: bytes) -> None:
    """Close what was opened again, where another stream is there now.

    Raises:
        FormatError: one is.
    """
    try:
        container.check_unchanged(prefix)
    except FormatError:
        close()
        raise


def _expand(key: Any, ndim: int) -> list[int | slice]:
    """One integer or slice per axis."""
    entries = list(key) if isinstance(key, tuple) else [key]
    if sum(entry is Ellipsis for entry in entries) > 1:
        raise IndexError("a stream takes one '...' in an index")
    if not any(entry is Ellipsis for entry in entries):
        entries.append(Ellipsis)
    place = next(i for i, entry in enumerate(entries) if entry is Ellipsis)
    missing = ndim - (len(entries) - 1)
    if missing < 0:
        raise IndexError(f"too many indices: a stream of {ndim} axes, got {len(entries) - 1}")
    filled: list[Any] = [*entries[:place], *[slice(None)] * missing, *entries[place + 1 :]]
    for entry in filled:
        if isinstance(entry, bool | np.bool_) or not isinstance(entry, slice | int | np.integer):
            raise TypeError(f"a stream is indexed with integers, slices and '...', got {type(entry).__name__}")
    return filled


def _bounds(entry: int | slice, n: int) -> tuple[tuple[int, int], int | slice]:
    """The range that an entry needs of an axis of ``n``, and the entry as seen from its beginning."""
    if not isinstance(entry, slice):
        place = int(entry)
        if not -n <= place < n:
            raise IndexError(f"index {place} is out of bounds for an axis of {n}")
        place %= n
        return (place, place + 1), 0
    wanted = range(*entry.indices(n))
    if not wanted:
        return (0, 0), slice(0, 0)
    low, high = min(wanted[0], wanted[-1]), max(wanted[0], wanted[-1])
    return (low, high + 1), slice(None, None, wanted.step)

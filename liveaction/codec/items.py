"""One stream for many signals: written one after the other, each read without the others."""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self, Unpack, overload

from liveaction.codec.aiming import find_step, split_options
from liveaction.codec.header import MAX_VOXELS
from liveaction.codec.names import ITEM, check_name, check_names, item_at, names_of
from liveaction.codec.reader import ReaderOptions, StreamReader
from liveaction.codec.target import Target
from liveaction.codec.view import StreamView, check_opened
from liveaction.codec.writing import CompressOptions, StreamWriter, WriteOptions, Written
from liveaction.coding.container import ContainerReader
from liveaction.coding.container2 import MOST_ITEMS
from liveaction.coding.source import Source, StreamData, bytes_or_path
from liveaction.errors import FormatError, LiveactionError, SpecError
from liveaction.files import atomic_path
from liveaction.signal import Signal

if TYPE_CHECKING:
    from liveaction.codec.model import Model


def write_items(
    signals: Iterable[Signal],
    file: BinaryIO,
    model: "Model",
    names: Iterable[str] | None = None,
    **options: Unpack[CompressOptions],
) -> list[Written]:
    """Signals to one stream in an empty file that can seek, each asked for when the one before is written.

    Args:
        signals: as for :func:`liveaction.codec.stream.write_stream`; at most 65536.
        file: open to read and write.
        model: as ``liveaction.load`` gives it.
        names: one for each signal, kept in the stream: relative paths with slashes.
        options: see :class:`~liveaction.codec.writing.CompressOptions`; a PSNR or an error is that of each item.

    Returns:
        What was written of each; ``bytes`` are its chunks and its part of what stands before them.

    Raises:
        ShapeError, SpecError, FormatError: as :func:`liveaction.codec.stream.write_stream`, naming the item.
        FormatError: a name is none, or there twice; there are too many signals.
        SpecError: no signals, or another number of them than of names; a size or a ratio is asked for.
    """
    target, rest = split_options(options)
    if target is not None and target.of_bytes:
        raise SpecError(
            f"{target.option}: expected a stream of one signal, got several in one; take --target-psnr, --target-error "
            "or a step, or a stream for each"
        )
    called = None if names is None else _checked(names, options.get("extras"))
    writer, written = StreamWriter(file, model), list[Written]()
    for number, signal in enumerate(signals):
        if called is not None and number == len(called):
            raise SpecError(f"names: expected one for each signal, got {number} for more signals")
        name = "" if called is None else called[number]
        written.append(_add(writer, signal, number, name, rest, target))
    if called is not None and len(called) != len(written):
        raise SpecError(f"names: expected one for each of {len(written)} signals, got {len(called)}")
    writer.close()
    return written


def compress_items(
    signals: Iterable[Signal], model: "Model", names: Iterable[str] | None = None, **options: Unpack[CompressOptions]
) -> bytes:
    """Signals to the bytes of one stream; arguments and errors as :func:`write_items`."""
    file = io.BytesIO()
    write_items(signals, file, model, names, **options)
    return file.getvalue()


def compress_items_file(
    signals: Iterable[Signal],
    path: str | Path,
    model: "Model",
    names: Iterable[str] | None = None,
    **options: Unpack[CompressOptions],
) -> list[Written]:
    """Signals to one stream on disk, which appears whole or not at all; else as :func:`write_items`."""
    with atomic_path(Path(path)) as part, part.open("w+b") as file:
        return write_items(signals, file, model, names, **options)


class StreamItems(Sequence[StreamView]):
    """The items of a stream, which is opened once; of each, only what is asked for is read and decoded.

    Threads and forked processes may share it, and it may be pickled, as a :class:`~liveaction.codec.view.StreamView`
    may. Views of its items end with it.

    Args:
        path: of the stream, or its bytes.
        model: that made it.
        max_voxels: an item that declares more values is refused before anything is allocated.

    Attributes:
        max_voxels: as given.

    Raises:
        FormatError, IntegrityError: as :func:`liveaction.codec.stream.decompress`, naming the item where it is one's.

    Example:
        >>> import liveaction
        >>> model = liveaction.load("runs/ct")
        >>> scan = model.modality.read("scan.nii.gz")
        >>> data = model.compress_many([scan, scan], names=["one.nii.gz", "more/two.nii.gz"])
        >>> with model.open_many(data) as items:
        ...     names, second = items.names, items.read("more/two.nii.gz")
        >>> names
        ('one.nii.gz', 'more/two.nii.gz')
        >>> second.values.shape == scan.values.shape
        True
    """

    def __init__(self, path: StreamData, model: "Model", *, max_voxels: int = MAX_VOXELS) -> None:
        data = bytes_or_path(path)
        self._data, self._model, self.max_voxels = (
            data if isinstance(data, bytes) else data.absolute(),
            model,
            max_voxels,
        )
        self._where = "stream" if isinstance(data, bytes) else str(data)
        self._source = Source(data)
        try:
            self._container = ContainerReader(self._source, self._where)
        except BaseException:
            self._source.close()
            raise

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of all items, in their order; empty where one has none.

        Raises:
            FormatError: one is no name that an item may have, or there twice.
        """
        return names_of(self._container, self._where)

    def number(self, item: int | str) -> int:
        """The number of an item, from 0 on, by its number, negative from the end on, or its name.

        Raises:
            IndexError: there is none of that number.
            FormatError: there is none of that name.
        """
        if not isinstance(item, str):
            return range(len(self))[item]
        if not item or item not in self._numbers:
            raise FormatError(f"{self._where}: expected the name of one of its {len(self)} items, got {item!r}")
        return self._numbers[item]

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.names)}

    def container(self, item: int | str) -> ContainerReader:
        """The bytes of an item."""
        return item_at(self._container, self.number(item), self._where)

    def reader(self, item: int | str, **options: Unpack[ReaderOptions]) -> StreamReader:
        """An item that is open to be decoded; options as of :func:`liveaction.codec.stream.open_reader`."""
        container = self.container(item)
        options.setdefault("max_voxels", self.max_voxels)
        return StreamReader(container, self._model, container.where, **options)

    def read(self, item: int | str) -> Signal:
        """The signal of an item, by its number or name."""
        return self.reader(item).read()

    def __len__(self) -> int:
        return self._container.items

    @overload
    def __getitem__(self, key: int) -> StreamView: ...
    @overload
    def __getitem__(self, key: slice) -> list[StreamView]: ...
    def __getitem__(self, key: int | slice) -> StreamView | list[StreamView]:
        if isinstance(key, slice):
            return [self[number] for number in range(len(self))[key]]
        number = self.number(key)
        return StreamView.of(self.reader(number, keep_windows=True), self._data, self._model, self.max_voxels, number)

    def __repr__(self) -> str:
        return f"<stream of {len(self)} items>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened_again, (self._data, self._model, self.max_voxels, self._container.prefix)

    def close(self) -> None:
        """Close the file; neither this nor the views of its items give anything any more."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _opened_again(data: bytes | Path, model: "Model", max_voxels: int, prefix: bytes) -> StreamItems:
    """What pickled items become.

    Raises:
        FormatError: another stream is there now.
    """
    items = StreamItems(data, model, max_voxels=max_voxels)
    check_opened(items.close, items._container, prefix)
    return items


def _checked(names: Iterable[str], extras: Mapping[str, Any] | None) -> list[str]:
    found = [check_name(name, f"names: item {number}") for number, name in enumerate(names)]
    check_names(found, "names")
    if len(found) > MOST_ITEMS:
        raise FormatError(f"names: expected at most {MOST_ITEMS} items, got {len(found)}; make several streams of them")
    if ITEM in (extras or {}):
        raise SpecError(f"extras: expected no key {ITEM!r} beside names, got one; choose another key")
    return found


def _add(
    writer: StreamWriter, signal: Signal, number: int, name: str, options: WriteOptions, target: Target | None
) -> Written:
    """Write an item, for a target at the step that reaches it; what is wrong with it says which it is."""
    named = options.copy()
    if name:
        named["extras"] = {**(options.get("extras") or {}), ITEM: name}
    try:
        if target is None:
            return writer.add(signal, **named)
        found = find_step(signal, writer.model, target, named)
        named["quality"], named["step"] = None, found.step
        return replace(writer.add(signal, **named), aim=found.aim)
    except LiveactionError as error:
        raise type(error)(f"item {number}{f' {name!r}' if name else ''}: {error}") from error

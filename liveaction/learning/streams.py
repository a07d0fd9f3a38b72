"""Streams of many items as sources: an item is a path below its stream, ``all.lva/hats/1.png``, that no file has."""

import hashlib
import json
from pathlib import Path

from liveaction.codec.items import StreamItems
from liveaction.codec.model import Model
from liveaction.codec.names import names_of
from liveaction.coding.container import ContainerReader
from liveaction.coding.source import Source
from liveaction.errors import FormatError

STREAM = ".lva"


def stream_of(path: Path) -> Path | None:
    """The stream that a path is, or that it is an item of; None where it is neither."""
    if path.name.endswith(STREAM):
        return path
    return next((above for above in path.parents if above.name.endswith(STREAM) and above.is_file()), None)


def item_paths(stream: Path) -> list[Path]:
    """The items of a stream, as paths below it; of one item without a name, the stream itself.

    Raises:
        FormatError: it is no stream, or one of many items has no name.
    """
    with Source(stream) as source:
        names = names_of(ContainerReader(source, str(stream)), str(stream))
    if names == ("",):
        return [stream]
    if "" in names:
        raise FormatError(f"{stream}: expected a name of every item, got none of item {names.index('')}")
    return [stream / name for name in names]


class OpenStream:
    """The stream whose items are read now; opened once for all that follow each other.

    Args:
        model: that made it.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._known: tuple[Path, int, int] | None = None
        self._items: StreamItems | None = None

    def items(self, stream: Path) -> StreamItems:
        """The items of a stream as it is now.

        Raises:
            FormatError, IntegrityError: as :class:`~liveaction.codec.items.StreamItems`.
        """
        try:
            about = stream.stat()
        except OSError as error:
            raise FormatError(f"{stream}: expected a readable .lva file, got {error.strerror}") from error
        known = stream, about.st_size, about.st_mtime_ns
        if self._items is None or known != self._known:
            if self._items is not None:
                self._items.close()
            self._items, self._known = StreamItems(stream, self._model), known
        return self._items

    def number(self, path: Path) -> tuple[StreamItems, int]:
        """The stream that an item's path names, and which of its items it is.

        Raises:
            FormatError: there is no such stream or item; a stream of several without a name below it.
        """
        stream = stream_of(path)
        assert stream is not None
        items = self.items(stream)
        if path != stream:
            return items, items.number(path.relative_to(stream).as_posix())
        if len(items) > 1:
            raise FormatError(f"{stream}: expected a stream of one item in a folder, got {len(items)}; take it alone")
        return items, 0

    def digest(self, path: Path) -> str:
        """SHA-256 of an item: its header, its side and its chunks, as the stream holds them."""
        items, number = self.number(path)
        container = items.container(number)
        digest = hashlib.sha256(json.dumps(container.header, sort_keys=True).encode())
        digest.update(container.side)
        for chunk in range(container.chunks):
            digest.update(container.read(chunk))
        return digest.hexdigest()

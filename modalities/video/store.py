"""Frames gathered into one array whose number is not known beforehand, in bounded memory."""

import errno
import tempfile
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError

IN_MEMORY = 256 * 2**20  # bytes; a longer clip goes to a temporary file
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class FrameStore:
    """Frames of one shape and dtype, in memory or, once they are many, in an unlinked temporary file.

    Args:
        where: stands first in errors.
    """

    def __init__(self, where: object) -> None:
        self.where = where
        self.count = self._bytes = 0
        self._frames: list[NDArray[Any]] = []
        self._file: IO[bytes] | None = None
        self._like: NDArray[Any] | None = None

    def append(self, frame: NDArray[Any], source: object = None) -> None:
        """Add one frame ``[C, H, W]``, from a file ``source`` of its own; it must not change afterwards.

        Raises:
            FormatError: another shape or dtype than the first, or the disk is full.
        """
        like = self._like = frame if self._like is None else self._like
        if (frame.shape, frame.dtype) != (like.shape, like.dtype):
            way = "take it out, or make it like the others" if source else "split the clip there"
            raise FormatError(
                f"{source or self.where}: expected frames of one size and depth, {like.shape} {like.dtype} as the "
                f"first, got {frame.shape} {frame.dtype} at frame {self.count}; {way}"
            )
        self.count += 1
        self._bytes += frame.nbytes
        self._frames.append(frame)
        if self._file is not None or self._bytes > IN_MEMORY:
            self._spill()

    def array(self) -> NDArray[Any]:
        """All frames ``[C, T, H, W]``: in memory, or a view of a ``np.memmap`` that frees its file when it goes.

        Raises:
            FormatError: there is no frame.
        """
        if self._like is None:
            raise FormatError(f"{self.where}: expected at least one frame, got none; the file is cut short or no clip")
        if self._file is None:
            return np.stack(self._frames, axis=1)
        self._file.flush()
        with self._file as file:
            mapped = np.memmap(file, self._like.dtype, "r+", shape=(self.count, *self._like.shape))
        return mapped.swapaxes(0, 1)

    def close(self) -> None:
        """Give the temporary file up."""
        if self._file is not None:
            self._file.close()

    def _spill(self) -> None:
        """What is held in memory goes to the file."""
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="liveaction-")  # noqa: SIM115, closed by array or close
            for frame in self._frames:
                self._file.write(np.ascontiguousarray(frame).data)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise FormatError(
                f"{self.where}: expected room for the decoded clip in {tempfile.gettempdir()!r}, got a full disk after "
                f"{self.count} frames; free some there, or set TMPDIR to a larger one"
            ) from error
        self._frames.clear()

"""Files and folders that appear whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A path in the same folder to write to; it takes ``path``'s place when the block ends well, else it is removed.

    The temporary name keeps the suffixes of ``path``, since writers choose a format by them. What is written may be a
    folder; it takes the place of another folder as a whole.
    """
    part = path.with_name(f".part-{os.getpid()}-{path.name}")
    before = path.with_name(f".before-{os.getpid()}-{path.name}")
    try:
        yield part
        if part.is_dir() and path.is_dir():
            path.replace(before)
        part.replace(path)
    finally:
        if before.exists() and not path.exists():
            before.replace(path)
        for rest in (part, before):
            if rest.is_dir():
                shutil.rmtree(rest)
            else:
                rest.unlink(missing_ok=True)

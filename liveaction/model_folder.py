"""What a model directory consists of, and its ``config.json``, read without torch; tables in it that are packed."""

import gzip
import hashlib
import os
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from liveaction.errors import FormatError
from liveaction.files import atomic_path, file_digest, read_small
from liveaction.strict_json import read_json_bytes

CONFIG, WEIGHTS, ENCODER = "config.json", "model.safetensors", "encoder.safetensors"
TABLES, MIXING = "entropy.safetensors", "mixing.safetensors"
PACKED = ".gz"
"""At the end of the name of entropy tables and mixing states that gzip packed; what they hold is the same."""
FORMAT = 1
LONGEST_CONFIG = 1 << 24


def read_config(path: Path) -> dict[str, Any]:
    """The data of a ``config.json``: ``format``, ``digest`` as text and ``recipe`` as a table, which is not checked.

    Raises:
        FormatError: it cannot be read, or is of a format this version does not know.
    """
    where = f"{path.parent}"
    expected = f"a model directory with a readable {CONFIG}"
    try:
        config = read_json_bytes(read_small(path, LONGEST_CONFIG), where, expected)
    except (OSError, FormatError) as error:
        line = str(error.strerror or error) if isinstance(error, OSError) else str(error).partition(", got ")[2]
        raise FormatError(f"{where}: expected {expected}, got {line}; liveaction train makes one") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        found = config.get("format") if isinstance(config, dict) else type(config).__name__
        raise FormatError(f"{path}: expected model format {FORMAT}, got {found!r}; use the version that wrote it")
    if not isinstance(config.get("recipe"), dict) or not isinstance(config.get("digest"), str):
        raise FormatError(f"{path}: expected a recipe and a digest, got keys {sorted(config)}")
    return config


def stored(path: Path) -> Path:
    """The file of tables or states as it lies there: ``path``, or that with :data:`PACKED` where it is packed.

    Raises:
        FormatError: both are there.
    """
    packed = path.with_name(path.name + PACKED)
    if not os.path.lexists(packed):
        return path
    if os.path.lexists(path):
        raise FormatError(f"{path}: expected it packed or not, got {packed.name} beside it; remove the older one")
    return packed


def pack_tables(folder: str | Path) -> int:
    """Pack the entropy tables and mixing states of a model directory, without loss; digests stay as they are.

    Equal files give equal bytes. Packed ones are left alone, and so is a folder without any; ``liveaction freeze``
    writes them unpacked.

    Returns:
        Bytes that this saves.

    Raises:
        FormatError: a file lies there packed and unpacked.
        WriteError: the folder cannot be written to.
    """
    saved = 0
    for path in (Path(folder) / TABLES, Path(folder) / MIXING):
        if stored(path) != path or not path.is_file():
            continue
        data = path.read_bytes()
        packed = gzip.compress(data, 9, mtime=0)
        with atomic_path(path.with_name(path.name + PACKED), follow=False) as part:
            part.write_bytes(packed)
        path.unlink()
        saved += len(data) - len(packed)
    return saved


def unpacked(path: Path, most: int) -> bytes:
    """What a packed file holds; its checksum is compared.

    Raises:
        FormatError: it is damaged, or holds more than ``most`` bytes.
        OSError: it cannot be read.
    """
    expander = zlib.decompressobj(wbits=31)
    try:
        data = expander.decompress(read_small(path, most), most + 1)
    except zlib.error as error:
        raise FormatError(f"{path}: expected a whole gzip file, got {error}") from error
    if len(data) > most:
        raise FormatError(f"{path}: expected at most {most} bytes, got more")
    if not expander.eof or expander.unused_data:
        raise FormatError(f"{path}: expected a whole gzip file, got {'more' if expander.eof else 'a part of one'}")
    return data


def content_digest(path: Path) -> str:
    """sha256 of what a file of a model directory holds, packed or not; of a damaged one, of its bytes."""
    if path.suffix == PACKED:
        with suppress(OSError, EOFError, zlib.error), gzip.open(path) as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
            return digest.hexdigest()
    return file_digest(path)

"""What a model directory consists of, and its ``config.json``, read without torch."""

from pathlib import Path
from typing import Any

from liveaction.errors import FormatError
from liveaction.files import read_small
from liveaction.strict_json import read_json_bytes

CONFIG, WEIGHTS, ENCODER = "config.json", "model.safetensors", "encoder.safetensors"
TABLES, MIXING = "entropy.safetensors", "mixing.safetensors"
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

"""The file of a model directory that holds what the coder ``small`` starts chunks from."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from liveaction.codec.codec import Codec
from liveaction.coding.mixing import from_arrays
from liveaction.errors import FormatError
from liveaction.files import atomic_path, require_regular

MIXING = "mixing.safetensors"
LONGEST = 1 << 23
"""Bytes of the file at most, for each tree: a state has 0.4 MB."""


def save_mixing(codec: Codec, folder: Path) -> None:
    """Write the states of a codec's trees, atomically; where it has none, a file of before goes."""
    path = folder / MIXING
    if not codec.codes_small:
        path.unlink(missing_ok=True)
        return
    arrays: dict[str, NDArray[Any]] = {}
    for number, tree in enumerate(codec.trees):
        assert tree.chunks.mixing is not None
        arrays |= {f"{number}.{name}": array for name, array in tree.chunks.mixing._asdict().items()}
    with atomic_path(path, follow=False) as part:
        part.touch()
        mode = part.stat().st_mode
        save_file(arrays, part)
        part.chmod(mode)  # safetensors lets only the owner read


def load_mixing(codec: Codec, folder: Path) -> None:
    """Give a codec's trees the states of a model directory; a model of before there was this coder has none.

    Raises:
        FormatError: the file is not such states, or not one for each tree.
    """
    path = folder / MIXING
    if not path.exists():
        return
    way = f"liveaction freeze {folder} makes it"
    try:
        require_regular(path)
        if path.stat().st_size > LONGEST * len(codec.trees):
            raise FormatError(f"{path}: expected states of {len(codec.trees)} trees, got {path.stat().st_size} bytes")
        found = load_file(path)
        groups: list[dict[str, NDArray[Any]]] = [{} for _ in codec.trees]
        for name, array in found.items():
            number, _, key = name.partition(".")
            if number not in map(str, range(len(groups))):
                raise FormatError(f"{path}: expected states of {len(groups)} trees, got {ascii(name)[1:-1][:80]!r}")
            groups[int(number)][key] = np.ascontiguousarray(array)
        states = [from_arrays(group, str(path)) for group in groups]
    except FormatError as error:
        raise FormatError(f"{error}; {way}") from error
    except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
        line = " ".join(str(error).split())[:200]
        raise FormatError(f"{path}: expected states of the coder small, got {line}; {way}") from error
    for tree, state in zip(codec.trees, states, strict=True):
        tree.chunks.mixing = state

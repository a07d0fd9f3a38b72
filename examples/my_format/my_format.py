"""A file format of your own for the modality `array`: a line of text with the extents, then float32, little-endian.

    pip install ./my_format
    liveaction new mine --like array --data scan.raw32
    liveaction check mine.yaml --data scan.raw32
    liveaction train mine.yaml --data scans/ --out runs/mine

Three things make a format: its suffixes, read, write. Errors may be raised as they come; a user sees one line.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.modalities.array.formats import Format


class Raw32(Format):
    """``RAW32 extent extent ... # comment``, a line feed, the samples in C order."""

    suffixes = (".raw32",)

    def read(self, path: Path, key: str | None) -> tuple[NDArray[Any], dict[str, Any]]:
        """The array, and the comment to write back."""
        with path.open("rb") as file:
            magic, *extents = file.readline().decode("ascii").partition("#")[0].split()
            file.seek(0)
            comment = file.readline().decode("ascii").partition("#")[2].strip()
            if magic != "RAW32":
                raise ValueError(f"the first word is {magic!r}, not RAW32")
            values = np.frombuffer(file.read(), dtype="<f4")
        return values.reshape([int(n) for n in extents]), {"comment": comment}

    def write(self, path: Path, array: NDArray[Any], metadata: dict[str, Any]) -> None:
        """A temporary name is given; it takes the target's place when this returns."""
        extents = " ".join(map(str, array.shape))
        header = f"RAW32 {extents} # {metadata.get('comment', '')}\n".encode("ascii")
        path.write_bytes(header + np.ascontiguousarray(array, dtype="<f4").tobytes())

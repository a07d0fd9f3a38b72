"""What a person looks at or listens to when judging a reconstruction."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Picture:
    """A plane, frame or spectrogram.

    Attributes:
        name: what it shows: "axial, slice 54 of 108".
        pixels: ``[H, W]`` or ``[H, W, 3]``.
        aspect: height of a pixel over its width.
    """

    name: str
    pixels: NDArray[np.uint8]
    aspect: float = 1.0


@dataclass(frozen=True)
class Sound:
    """A stretch of sound.

    Attributes:
        name: what it is: "microphones 1 and 2".
        samples: float32 ``[1 or 2, T]`` in [-1, 1].
        rate: samples per second.
    """

    name: str
    samples: NDArray[Any]
    rate: int


Exhibit = Picture | Sound

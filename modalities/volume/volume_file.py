"""What a reader of volumes found in a file."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class VolumeFile(NamedTuple):
    """Values as stored, ``[X, Y, Z]`` or ``[X, Y, Z, T]``; fields as those of :class:`~liveaction.signal.Signal`.

    ``scaling`` is the slope and intercept of a file of ``dtype``.
    """

    values: NDArray[Any]
    dtype: str
    metadata: dict[str, Any]
    missing: NDArray[np.bool_] | None = None
    no_data: float = 0.0
    scaling: tuple[float, float] = (1.0, 0.0)

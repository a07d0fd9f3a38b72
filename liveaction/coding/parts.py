"""What a coder of a chunk's symbols is to its callers: part after part, coarse to fine.

A part may depend on what became of those before it, so that a caller may predict it from what is decoded: it learns the
symbols of a part before it gives the next one.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class PartsEncoder(Protocol):
    """Latents of one chunk to its bytes."""

    def add(self, scaled: NDArray[np.float32]) -> NDArray[np.int32]:
        """The symbols chosen for the next part ``[L_i, *c_i]``, given in steps.

        Raises:
            FormatError: it is of another shape, or too large or not finite somewhere.
        """

    def finish(self) -> bytes:
        """The bytes of all parts."""


class PartsDecoder(Protocol):
    """The bytes of one chunk to its symbols."""

    def next(self) -> NDArray[np.int32]:
        """The symbols of the next part ``[L_i, *c_i]``.

        Raises:
            FormatError: the bytes do not hold them.
        """

    @property
    def used(self) -> int:
        """Bytes that were looked at so far."""

    def finish(self) -> None:
        """Nothing is left to decode.

        Raises:
            FormatError: the bytes do not end here.
        """

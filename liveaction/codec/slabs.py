"""The latents of one signal, box by box, made once where they are asked for several times."""

from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from liveaction.codec.front import Front
from liveaction.codec.grid import Box, ChunkLayout, shape_of
from liveaction.mapped import empty_values, release_pages

if TYPE_CHECKING:
    from liveaction.codec.codec import Codec

Slab = tuple[Box, NDArray[np.float32]]


def encoded(codec: "Codec", front: Front, layout: ChunkLayout, step: float) -> Iterator[Slab]:
    """Companded latents of a signal, ``[K L, *]`` of each box.

    Args:
        codec: with the tree that the front names.
        front: the signal as the codec takes it.
        layout: of the signal.
        step: of the quantiser.
    """
    for box, latents in codec.encode_slabs(front.source, layout, step, rounded=False):
        yield box, latents.flatten(0, 1).cpu().numpy()


class KeptSlabs:
    """Keeps the latents of one signal, many of them in a temporary file, as long as what they depend on stays.

    That is the tree and the signal's own basis, which may change with the step; nothing else does.

    Attributes:
        largest: the largest size of a latent so far.
    """

    def __init__(self) -> None:
        self.largest = 0.0
        self._key: tuple[int, bytes] | None = None
        self._boxes = list[Box]()
        self._values: NDArray[np.float32] = np.empty(0, np.float32)

    def encoded(self, codec: "Codec", front: Front, layout: ChunkLayout, step: float) -> Iterator[Slab]:
        """As :func:`encoded`; made anew only where they have changed."""
        key, rows, end = (front.tree, front.side), front.batch * codec.latents, 0
        made = None if key == self._key else encoded(codec, front, layout, step)
        if made is not None:
            self._key, self._boxes = None, []
            if self._values.size != rows * prod(layout.grid):
                self._values = empty_values((rows * prod(layout.grid),), "float32")
        for box, latents in self._kept(rows) if made is None else made:
            yield box, latents
            if made is not None:
                begin, end = end, end + latents.size
                self._boxes.append(box)
                self._values[begin:end] = latents.reshape(-1)
                self.largest = max(self.largest, float(np.abs(latents).max(initial=0.0)))
            release_pages(self._values)
        self._key = key

    def _kept(self, rows: int) -> Iterator[Slab]:
        end = 0
        for box in self._boxes:
            begin, end = end, end + rows * prod(shape_of(box))
            yield box, self._values[begin:end].reshape(rows, *shape_of(box))

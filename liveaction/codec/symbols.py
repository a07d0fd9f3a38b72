"""The latents that a stream holds, by entropy decoding alone: no sample is decoded."""

import numpy as np
from numpy.typing import NDArray

from liveaction.codec.grid import slices
from liveaction.codec.reader import StreamReader

_AT_ONCE = 32
"""Chunks that are decoded side by side."""


def read_latents(reader: StreamReader) -> tuple[NDArray[np.float32], float]:
    """The dequantised latents of a stream, all of its grid, as its decoder is given them.

    Over the step they are the symbols, whole numbers; not of ``encoder.kind: predicted``, whose symbols are what is
    left of a prediction: what was predicted is added here, as it is before decoding. Of a codec that compands they
    are companded. With a basis of the signal's own, components follow each other along the channels. A chunk that the
    reader fills in is 0 here.

    Args:
        reader: of a stream that is open.

    Returns:
        float32 ``[L, *G]``, and the step of the quantiser in the same unit.

    Raises:
        FormatError, IntegrityError: a chunk is damaged, and the reader has nothing to fill in.
    """
    layout = reader.layout
    latents = np.zeros((reader.header.latent_channels, *layout.grid), np.float32)
    for first in range(0, layout.chunks, _AT_ONCE):
        numbers = list(range(first, min(first + _AT_ONCE, layout.chunks)))
        for number, part in zip(numbers, reader.chunk_latents(numbers), strict=True):
            latents[(slice(None), *slices(layout.chunk_box(number)))] = part
    return latents, reader.header.step

"""Seeds of training: the first number of every key, so that no two uses draw the same by accident.

A key is (word, seed of the recipe, ...). Keys of one word have one length: NumPy takes (a, b) and (a, b, 0) for the
same seed. Weights at random begin from ``torch.manual_seed(seed)``, with no key. Recorded runs depend on these numbers:
a new use takes one that is free, and none is given anew.
"""

from enum import IntEnum, unique

import numpy as np


@unique
class CropWord(IntEnum):
    """What crops are drawn for, by NumPy's generator."""

    TRAINING = 0
    """Steps: (word, seed, step, number in the whole batch)."""
    WARM_START = 1
    """The covariance of the packets: (word, seed, number)."""
    VALIDATION = 2
    """Held-out crops, the same at every validation: (word, seed, number)."""
    TABLES = 3
    """Chunks that entropy tables are fitted to: (word, seed, number)."""
    GAINS = 6
    """What networks behind sparse latents are weighed on: (word, seed, number)."""
    STEP = 7
    """Steps of the quantiser that crops are coded with: (word, seed, step, number in the whole batch)."""


@unique
class NoiseWord(IntEnum):
    """What noise is drawn for, by Torch's generator, which makes other numbers of a seed than NumPy's does."""

    QUANTISER = 3
    """In the place of rounding: (word, seed, step, process)."""
    STEPS = 4
    """The quantiser's steps that crops are predicted at: (word, seed, step, process)."""


def torch_seed(word: NoiseWord, *numbers: int) -> int:
    """Seed of a ``torch.Generator`` for a key.

    Args:
        word: what is drawn.
        numbers: the rest of the key, none negative.
    """
    return int(np.random.SeedSequence([word, *numbers]).generate_state(1)[0])

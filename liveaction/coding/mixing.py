"""What the mixing coder starts from: its state, which training fills and every chunk begins with.

docs/entropy.md says in words what is reckoned with it.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from liveaction.coding.layout import CLASSES, LEVELS
from liveaction.coding.tables import arrays_digest
from liveaction.errors import FormatError

DECISIONS = 8
"""Whether a magnitude exceeds 0, 1, .. 7; beyond, an exponent and bits follow."""
KINDS = 64
"""Kinds of channels, which share what they learn."""
CONTEXTS = (32 * 32 * 4, 4**5, 4 * 4 * 4 * 16, 16 * 16 * 8)
"""Numbers of contexts in each set: see ``mixing_numba.contexts``."""
INPUTS = len(CONTEXTS) + 1
"""Of a mixer: a prediction of each set, and a constant."""
SETS = 64
"""Expected magnitudes, half an octave each, that choose a mixer's weights."""
OCTAVES = 32
"""The same, an octave each."""
QUIET = 20
"""Below this expected magnitude, in quarter octaves, which is 2**-5 of a step, and with nothing next to it, a symbol is
coded by one counter alone."""
EXPONENTS = 26
"""Of what a magnitude has beyond the decisions: a residual is smaller than 2**24.6."""
POINTS = 33
"""Of a correction, between which it is linear: half a logit apart, from -8 to 8."""
CAREFUL = 24
"""A counter of a state has seen as much at most, so that a chunk soon has the greater say."""
COUNT_BITS = 10
COUNT_MASK = (1 << COUNT_BITS) - 1
"""A counter is a probability of 22 bits, and below it how often it has learnt."""
EVEN = 1 << 31
"""A counter that knows nothing."""
HEAVIEST = 1 << 28
"""Weights of a state are this in size at most. In a chunk of 2**28 symbols one moves by less than 2**30.4, whatever it
holds, and so stays within 32 bits; those that training leaves are some 2**17."""


class Mixing(NamedTuple):
    """The numbers that a mixing coder changes as it goes. Weights are int32, counters uint32: see COUNT_MASK.

    Attributes:
        contexts: counters, ``[sum of CONTEXTS * DECISIONS]``.
        by_magnitude: weights of the mixers that the expected magnitude chooses, in 65536ths, ``[DECISIONS * SETS,
            INPUTS]``.
        by_kind: weights of the mixers that the kind chooses, ``[KINDS * DECISIONS, INPUTS]``.
        corrections: 16-bit probabilities, int32, at :data:`POINTS` logits, ``[DECISIONS * SETS, POINTS]``.
        quiet: counters where nothing is near, ``[KINDS, QUIET]`` by the expected magnitude.
        heads: counters of what a channel begins with, ``[KINDS, 16]``: whether it has symbols, by the two channels
            before; then, of those without and those with, its predictor.
        classes: counters, ``[2, 2, CLASSES - 1]``: of the first channel that has a class, and of others; downwards and
            upwards from the usual class, by how much. Entry 0, where there are no steps yet, is for whether it differs
            from the usual one, and whether upwards.
        signs: counters, ``[KINDS, LEVELS]``, of symbols with a prediction.
        exponents: counters, ``[OCTAVES, EXPONENTS]``, of large magnitudes by the expected one.
    """

    contexts: NDArray[np.uint32]
    by_magnitude: NDArray[np.int32]
    by_kind: NDArray[np.int32]
    corrections: NDArray[np.int32]
    quiet: NDArray[np.uint32]
    heads: NDArray[np.uint32]
    classes: NDArray[np.uint32]
    signs: NDArray[np.uint32]
    exponents: NDArray[np.uint32]


def fresh() -> Mixing:
    """A state that knows nothing: all decisions even, all predictions of equal weight."""
    even, counts = np.uint32(EVEN), sum(CONTEXTS) * DECISIONS
    logits = (np.arange(POINTS) - POINTS // 2) / 2
    line = np.clip(np.rint(65536 / (1 + np.exp(-logits))), 32, 65504).astype(np.int32)
    weight = np.full(INPUTS, round(0.4 * 65536), np.int32)
    weight[-1] = 0
    return Mixing(
        contexts=np.full(counts, even, np.uint32),
        by_magnitude=np.tile(weight, (DECISIONS * SETS, 1)),
        by_kind=np.tile(weight, (KINDS * DECISIONS, 1)),
        corrections=np.tile(line, (DECISIONS * SETS, 1)),
        quiet=np.full((KINDS, QUIET), even, np.uint32),
        heads=np.full((KINDS, 16), even, np.uint32),
        classes=np.full((2, 2, CLASSES - 1), even, np.uint32),
        signs=np.full((KINDS, LEVELS), even, np.uint32),
        exponents=np.full((OCTAVES, EXPONENTS), even, np.uint32),
    )


def copied(state: Mixing) -> Mixing:
    """One to change."""
    arrays: dict[str, NDArray[Any]] = state._asdict()
    return Mixing(**{name: array.copy() for name, array in arrays.items()})


def careful(state: Mixing) -> Mixing:
    """A copy whose counters have seen at most :data:`CAREFUL`."""
    arrays: dict[str, NDArray[Any]] = copied(state)._asdict()
    for array in arrays.values():
        if array.dtype == np.uint32:
            seen = array & np.uint32(COUNT_MASK)
            array -= seen - np.minimum(seen, np.uint32(CAREFUL))
    return Mixing(**arrays)


def from_arrays(arrays: Mapping[str, NDArray[Any]], where: str) -> Mixing:
    """A state of arrays of its names, shapes and dtypes, checked and copied.

    Raises:
        FormatError: one holds what no state does.
    """
    for name, array in arrays.items():
        counted = array.dtype == np.uint32
        seen = (array & np.uint32(COUNT_MASK) if counted else array).astype(np.int64)
        low, high = (0, CAREFUL) if counted else (0, 65535) if name == "corrections" else (-HEAVIEST, HEAVIEST)
        if seen.min() < low or seen.max() > high:
            what = "counters that have seen" if counted else "numbers from"
            raise FormatError(f"{where}: expected {name}, {what} {low} to {high}, got {seen.min()} to {seen.max()}")
    return copied(Mixing(**arrays))


def mixing_digest(tables: str, states: Sequence[Mixing]) -> str:
    """What decides how the coder ``small`` codes: the SHA-256 of digests in a row, all in hexadecimal.

    Args:
        tables: digest of a codec's tables.
        states: one of each tree.
    """
    return sha256("".join([tables, *(arrays_digest(state._asdict()) for state in states)]).encode()).hexdigest()


def kinds_of(rows: Sequence[int], components: int) -> list[NDArray[np.int64]]:
    """The kind of each channel of each part, alike for all components.

    Every part has four kinds at most, and the others are shared out by the rows of a component; of a part neighbouring
    rows, which are of alike variance, have one.

    Args:
        rows: of each part, those of a component.
        components: K, which stand one after the other in a part.
    """
    first = [min(n, 4) for n in rows]
    left = max(0, KINDS - sum(first))
    room = [min(n, f + left * n // sum(rows)) for n, f in zip(rows, first, strict=True)]
    found, begin = [], 0
    for n, k in zip(rows, room, strict=True):
        found.append(np.tile(np.minimum(begin + np.arange(n) * k // n, KINDS - 1), components))
        begin += k
    return found

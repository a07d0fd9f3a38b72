"""What the mixing coder starts from: its state, which training fills and every chunk begins with.

docs/entropy.md says in words what is reckoned with it.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from liveaction.coding.layout import CLASSES, LEVELS
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
POINTS = 33
"""Of a correction, between which it is linear: half a logit apart, from -8 to 8."""
CAREFUL = 24
"""A counter of a state has seen as much at most, so that a chunk soon has the greater say."""
COUNTER_BITS, COUNT_BITS = 22, 10
"""A counter is a probability of 22 bits, and how often it has learnt."""
EVEN = 1 << 31
"""A counter that knows nothing."""


class Mixing(NamedTuple):
    """The numbers that a mixing coder changes as it goes. Weights are int32, counters uint32: see COUNTER_BITS.

    Attributes:
        counters: of all contexts, ``[sum of CONTEXTS * DECISIONS]``.
        chosen: weights of the mixers that the expected magnitude chooses, in 65536ths, ``[DECISIONS * SETS, INPUTS]``.
        kinds: weights of the mixers that the kind chooses, ``[KINDS * DECISIONS, INPUTS]``.
        corrections: 16-bit probabilities, int32, at :data:`POINTS` logits, ``[DECISIONS * SETS, POINTS]``.
        quiet: counters where nothing is near, ``[KINDS, 32]`` by the expected magnitude.
        heads: counters of what a channel begins with, ``[KINDS, 16]``: whether it has symbols, by the two channels
            before; then, of those without and those with, its predictor.
        steps: counters of classes, ``[2, 3, CLASSES]``: of the first channel that has one, and of others; whether it
            differs from the usual one, by how much downwards, and upwards.
        signs: counters, ``[KINDS, LEVELS]``, of symbols with a prediction.
        large: counters of exponents, ``[32, 32]`` by the expected magnitude.
    """

    counters: NDArray[np.uint32]
    chosen: NDArray[np.int32]
    kinds: NDArray[np.int32]
    corrections: NDArray[np.int32]
    quiet: NDArray[np.uint32]
    heads: NDArray[np.uint32]
    steps: NDArray[np.uint32]
    signs: NDArray[np.uint32]
    large: NDArray[np.uint32]


def fresh() -> Mixing:
    """A state that knows nothing: all decisions even, all predictions of equal weight."""
    even, counts = np.uint32(EVEN), sum(CONTEXTS) * DECISIONS
    logits = (np.arange(POINTS) - POINTS // 2) / 2
    line = np.clip(np.rint(65536 / (1 + np.exp(-logits))), 32, 65504).astype(np.int32)
    weight = np.full(INPUTS, round(0.4 * 65536), np.int32)
    weight[-1] = 0
    return Mixing(
        counters=np.full(counts, even, np.uint32),
        chosen=np.tile(weight, (DECISIONS * SETS, 1)),
        kinds=np.tile(weight, (KINDS * DECISIONS, 1)),
        corrections=np.tile(line, (DECISIONS * SETS, 1)),
        quiet=np.full((KINDS, 32), even, np.uint32),
        heads=np.full((KINDS, 16), even, np.uint32),
        steps=np.full((2, 3, CLASSES), even, np.uint32),
        signs=np.full((KINDS, LEVELS), even, np.uint32),
        large=np.full((32, 32), even, np.uint32),
    )


def copied(state: Mixing) -> Mixing:
    """One to change."""
    return Mixing(*(part.copy() for part in state))


def careful(state: Mixing) -> Mixing:
    """A copy whose counters have seen at most :data:`CAREFUL`."""
    mask, made = np.uint32((1 << COUNT_BITS) - 1), []
    for part in state:
        if part.dtype == np.uint32:
            part = (part & ~mask) | np.minimum(part & mask, np.uint32(CAREFUL))
        made.append(part.copy())
    return Mixing(*made)


def from_arrays(arrays: Mapping[str, NDArray[Any]], where: str) -> Mixing:
    """A state from its arrays by name, checked: what a chunk starts from is in reach of its tables.

    Raises:
        FormatError: an array is missing or of another shape or dtype, or a counter has seen too much.
    """
    made = []
    for name, usual in fresh()._asdict().items():
        found = arrays.get(name)
        if found is None or found.shape != usual.shape or found.dtype != usual.dtype:
            got = "none" if found is None else f"{found.dtype} {found.shape}"
            raise FormatError(f"{where}: expected {name} as {usual.dtype} {usual.shape}, got {got}")
        if found.dtype == np.uint32 and int((found & np.uint32((1 << COUNT_BITS) - 1)).max()) > CAREFUL:
            raise FormatError(f"{where}: expected counters of {name} that have seen at most {CAREFUL}, got more")
        made.append(np.ascontiguousarray(found))
    return Mixing(*made)


def mixing_digest(states: Sequence[Mixing]) -> str:
    """SHA-256 of names, shapes and little-endian content, in hexadecimal."""
    found = sha256()
    for state in states:
        for name, array in state._asdict().items():
            found.update(f"{name}{list(array.shape)}".encode())
            found.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return found.hexdigest()


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

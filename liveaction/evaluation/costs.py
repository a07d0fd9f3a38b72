"""What a quality at a ratio costs to encode."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from liveaction.evaluation.bd import quality_at
from liveaction.evaluation.groups import Line
from liveaction.evaluation.item import Source


@dataclass(frozen=True)
class Cost:
    """A codec at a ratio: its measure, and processor seconds of encoding per unit of pace, both between settings."""

    line: Line
    value: float
    seconds: float


def costs_at(lines: Sequence[Line], source: Source, key: str, ratio: float) -> list[Cost]:
    """Codecs that reach a ratio, at that ratio: the measure as :func:`quality_at` has it, time on log scales.

    Codecs whose settings do not reach around the ratio are left out: nothing is extrapolated.
    """
    bits = source.bits / ratio
    found = []
    for line in lines:
        pairs = line.pairs(key)
        if len(pairs) < 2 or not pairs[0][0] <= bits <= pairs[-1][0]:
            continue
        value = quality_at(pairs, bits)
        if value is None:
            continue
        rates = [math.log(point.bits) for point in line.points]
        seconds = [math.log(point.mean(lambda item: item.seconds("encode", "cpu") / item.pace.amount))
                   for point in line.points]  # fmt: skip
        found.append(Cost(line, value, math.exp(float(np.interp(math.log(bits), rates, seconds)))))
    return found

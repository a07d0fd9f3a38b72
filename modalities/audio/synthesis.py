"""What audio phantoms are made with: sines by integer phase and a table, noise, lines, delays.

Only additions, products, quotients and square roots of float64, integer arithmetic and look-ups: equal seeds give equal
samples on every machine.
"""

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float64]
TURN = 1 << 32  # one turn of an integer phase
_STEPS = 1 << 14  # of a turn: next to each other they differ by 13 of the 32767 that the table rounds to


def _sine_table() -> Wave:
    """Sine at ``_STEPS`` places of a turn, rounded to 16 bits; a Taylor series, so no machine's own sine."""
    x = np.arange(_STEPS // 4 + 1) * (3.141592653589793 / 2 / (_STEPS // 4))
    term, total = x, x
    for n in range(3, 18, 2):
        term = term * x * x * (-1.0 / (n * (n - 1)))
        total = total + term
    quarter = np.rint(32767 * total)
    half = np.concatenate([quarter, quarter[-2:0:-1]])
    return np.concatenate([half, -half]) / 32767


_SINE = _sine_table()


def sine(phase: NDArray[np.int64]) -> Wave:
    """Sine of a phase in units of ``1 / TURN`` turns."""
    shift = TURN.bit_length() - _STEPS.bit_length()
    table: Wave = _SINE[(phase >> shift) & (_STEPS - 1)]
    return table


def turns(share: float) -> tuple[float, float]:
    """Cosine and sine of a share of a turn, as the table has them."""
    phase = np.array([round(share * TURN) + TURN // 4, round(share * TURN)])
    cosine, sin = sine(phase)
    return float(cosine), float(sin)


def phase_of(frequency: Wave, rate: int) -> NDArray[np.int64]:
    """Integer phase of a tone whose frequency in Hz is given at every sample."""
    return np.cumsum(np.rint(frequency * (TURN / rate)).astype(np.int64))


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number between ``low`` and ``high`` from 2**20 equal steps."""
    return low + (high - low) * (int(rng.integers(1 << 20)) / (1 << 20))


def points(rng: np.random.Generator, count: int, low: float, high: float) -> Wave:
    """``count`` such numbers."""
    return low + (high - low) * (rng.integers(1 << 20, size=count) / (1 << 20))


def line(through: Wave, step: int, samples: int) -> Wave:
    """Straight lines through values that stand every ``step`` samples; needs ``samples // step + 2`` of them."""
    n = np.arange(samples)
    place, part = n // step, (n % step) / step
    wave: Wave = through[place] + part * (through[place + 1] - through[place])
    return wave


def noise(rng: np.random.Generator, samples: int) -> Wave:
    """White noise of unit variance, nearly normal: the sum of four uniform numbers."""
    total = rng.integers(-(1 << 15), 1 << 15, size=(4, samples))
    wave: Wave = (total[0] + total[1] + total[2] + total[3]) / 37837.0
    return wave


def rumble(rng: np.random.Generator, samples: int, width: int) -> Wave:
    """Noise of about unit variance below ``rate / width`` Hz: white noise through two running means."""
    whole = rng.integers(-(1 << 15), 1 << 15, size=samples + 2 * width)
    for _ in range(2):
        total = np.cumsum(whole)
        whole = total[width:] - total[:-width]
    wave: Wave = whole * (1.22 / 18918.0 / (width * np.sqrt(float(width))))
    return wave


def decay(half_life: int, samples: int) -> Wave:
    """1 at the first sample, about 1/2 after ``half_life``, and so on."""
    factor = np.full(samples, 1 - 0.6931 / half_life)
    factor[:1] = 1
    return np.cumprod(factor)


def delayed(wave: Wave, first: int, delay: Wave | float, samples: int) -> Wave:
    """``samples`` values of ``wave`` from ``first`` on, ``delay`` samples later, by Lagrange's cubic through four.

    Args:
        wave: reaches from two samples before to two beyond all that is asked for.
        delay: in samples, one number or one per sample.
    """
    whole = np.floor(delay).astype(np.int64)
    f = delay - whole
    at = first + np.arange(samples) - whole
    a, b, c = 1 + f, 1 - f, 2 - f
    early = wave[at] * (a * b * c / 2) + wave[at - 1] * (f * a * c / 2)
    value: Wave = early - wave[at + 1] * (f * b * c / 6) - wave[at - 2] * (f * a * b / 6)
    return value

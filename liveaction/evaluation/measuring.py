"""One codec on one signal at one setting, coded, timed and compared."""

import statistics
from collections.abc import Callable
from time import perf_counter
from typing import Any, TypeVar

from liveaction.codec.clock import Timings
from liveaction.evaluation.coders import Coder
from liveaction.evaluation.item import Measurement, Pace, Seconds, Source, Spent
from liveaction.evaluation.protocol import TimingRules
from liveaction.signal import Signal

T = TypeVar("T")


def measure(
    coder: Coder,
    signal: Signal,
    source: Source,
    value: float,
    timing: TimingRules,
    threads: int,
    circumstances: dict[str, Any],
) -> tuple[Measurement, Signal]:
    """The item and the reconstruction.

    Both ways are called once to warm up and then timed as :class:`TimingRules` says. Reading files, and comparing, are
    not timed. What is compared was decoded from the bytes that are counted.
    """
    data, encoding = _timed(lambda: coder.encode(signal, source, value), timing)
    back, decoding = _timed(lambda: coder.decode(data, signal, source), timing)
    apart = coder.kind == "model"
    amount, unit = coder.modality.pace(signal)
    item = Measurement(
        curve=coder.curve,
        codec=coder.codec,
        kind=coder.kind,
        seed=coder.seed,
        setting=coder.setting,
        value=value,
        weights=coder.weights,
        recipe=coder.recipe,
        library=coder.library,
        source=source,
        bytes=len(data),
        ratio=signal.native_bits / (8 * len(data)),
        bits_per_element=8 * len(data) / signal.values.size,
        metrics=coder.modality.compare(signal, back),
        curves=coder.modality.curves(signal, back),
        encode=_spent(encoding, "tensors"),
        decode=_spent(decoding, "tensors"),
        entropy_coding=_spent(encoding, "coding") if apart else None,
        entropy_decoding=_spent(decoding, "coding") if apart else None,
        pace=Pace(amount=amount, unit=unit),
        macs=coder.macs(signal.values.shape),
        device=coder.device,
        dtype=coder.dtype,
        transfers="host memory, none" if coder.device == "cpu" else "to the device and back, within encode and decode",
        threads=threads,
        circumstances=circumstances,
    )
    return item, back


def _timed(call: Callable[[], tuple[T, Timings]], timing: TimingRules) -> tuple[T, list[Timings]]:
    """The result of the warm-up, and the timings that count."""
    began = perf_counter()
    result, first = call()
    counted: list[Timings] = []
    while len(counted) < timing.repeats and perf_counter() - began < timing.budget:
        counted.append(call()[1])
    return result, counted or [first]


def _spent(counted: list[Timings], stage: str) -> Spent:
    def seconds(field: str) -> Seconds:
        times = [getattr(each, field) for each in counted]
        return Seconds(median=statistics.median(times), least=min(times), most=max(times), runs=len(times))

    return Spent(wall=seconds(stage), cpu=seconds(f"{stage}_cpu"))

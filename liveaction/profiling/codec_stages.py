"""The stages of a codec: what they are called, their time and their memory."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from liveaction.codec.codec import Codec
from liveaction.kernels.parallel import over_tokens
from liveaction.nn.blocks import ViTBlock
from liveaction.profiling.measure import reset_resident_peak, resident, summary, synchronise
from liveaction.transforms.window import crop, pad_to_multiple


@dataclass
class StageRow:
    """One stage: the whole of ``encode``, ``decode`` or ``train``, or a part of it.

    Attributes:
        share: of the sum of the parts; None for a whole.
        msamples_s: samples of the signal per second, in millions.
        peak_bytes: taken beyond what is there when the stage begins; of all calls, the one that takes most.
        calls: how often the stage runs per signal: the encoder takes its tokens in pieces.
    """

    part: str
    stage: str
    median_us: float
    p20_us: float
    p80_us: float
    least_us: float
    rounds: int
    msamples_s: float
    peak_bytes: int | None
    share: float | None = None
    calls: int = 1


class Clock:
    """Sums the time of named stages, or takes the peak of their memory; told by hooks on modules and by hand."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}
        self.peaks: dict[str, int | None] = {}
        self.memory = False
        self._began = 0.0
        self._before: int | None = 0

    def clear(self) -> None:
        """Forget times, not peaks."""
        self.seconds, self.calls = {}, {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens in the block."""
        self.begin(name)
        yield
        self.end(name)

    def begin(self, name: str, *_: Any) -> None:
        """A stage begins."""
        synchronise(self.device)
        self.seconds.setdefault(name, 0.0)
        if self.memory and self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)
        elif self.memory:
            self._before = reset_resident_peak()
        self._began = time.perf_counter()

    def end(self, name: str, *_: Any) -> None:
        """It ends."""
        synchronise(self.device)
        self.seconds[name] += time.perf_counter() - self._began
        self.calls[name] = self.calls.get(name, 0) + 1
        if not self.memory:
            return
        if self._before is None:
            self.peaks[name] = None
            return
        cuda = self.device.type == "cuda"
        top = torch.cuda.max_memory_allocated(self.device) if cuda else resident("VmHWM")
        self.peaks[name] = max(self.peaks.get(name) or 0, top - self._before, 0)


def time_stages(
    part: str, codec: Codec, walk: Callable[[Clock], Any], device: torch.device, samples: int, rounds: int
) -> list[StageRow]:
    """Time and memory of every stage of ``part``; shares are of their sum.

    Args:
        walk: goes through the part once and tells the clock of the stages that are no modules.
        samples: of the signal, for throughput.
        rounds: timed walks, after one to warm up; one more for memory.
    """
    clock = Clock(device)
    times: dict[str, list[float]] = {}
    with _hooked(clock, named_stages(codec, part)):
        walk(clock)
        for _ in range(rounds):
            clock.clear()
            walk(clock)
            for name, seconds in clock.seconds.items():
                times.setdefault(name, []).append(seconds)
        calls = dict(clock.calls)
        clock.memory = True
        walk(clock)
    medians = {name: summary(values) for name, values in times.items()}
    total = sum(timing.median_us for timing in medians.values())
    return [
        StageRow(
            part, name, **asdict(timing), msamples_s=samples / timing.median_us, peak_bytes=clock.peaks[name],
            share=timing.median_us / total, calls=calls[name],
        )
        for name, timing in medians.items()
    ]  # fmt: skip


@contextmanager
def _hooked(clock: Clock, modules: dict[str, nn.Module]) -> Iterator[None]:
    handles = []
    for name, module in modules.items():
        handles.append(module.register_forward_pre_hook(lambda *_, name=name: clock.begin(name)))
        handles.append(module.register_forward_hook(lambda *_, name=name: clock.end(name)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def named_stages(codec: Codec, part: str) -> dict[str, nn.Module]:
    """The learned stages of ``encode`` or ``decode``, in the order in which they run."""
    if part == "encode":
        blocks: dict[str, nn.Module] = {f"block {i}": block for i, block in enumerate(codec.encoder.blocks)}
        return blocks | {"projection": codec.encoder.down}
    found: dict[str, nn.Module] = {}
    if codec.decoder.linear is not None:
        found["linear path"] = codec.decoder.linear
    if codec.decoder.network is None:
        return found
    network = list(codec.decoder.network)
    found["up"] = network[0]
    last = len(network) - 1 if codec.decoder.linear is not None else len(network)
    for i, block in enumerate(network[1:last]):
        if isinstance(block, ViTBlock):
            found |= {f"block {i} attention": block.attention, f"block {i} local": block.local}
        else:
            found[f"block {i}"] = block
    if last < len(network):
        found["out"] = network[last]
    return found


def walk_encode(codec: Codec, x: torch.Tensor, clock: Clock) -> None:
    """:meth:`Codec.to_symbols`, with the stages that are no modules told by hand."""
    with clock.stage("packets"):
        codec.packets(pad_to_multiple(x, codec.packets.factors))
    y = codec.encode(x)  # the hooks tell the stages of the encoder
    with clock.stage("quantise"):
        over_tokens(codec.quantize, y)


def walk_decode(codec: Codec, symbols: torch.Tensor, extents: tuple[int, ...], clock: Clock) -> None:
    """:meth:`Codec.decode`; what follows the network is run once more on packets of its own."""
    with clock.stage("dequantise"):
        y = codec.quantizer.expand(symbols.float() * codec.quantizer.step)
    device_type = symbols.device.type
    with torch.autocast(device_type, codec.compute_dtype, enabled=codec.compute_dtype != torch.float32):
        v = codec.decoder(y).float()
    with clock.stage("synthesis"):
        x = codec.packets.inverse(v)
        crop(x, extents)
    if codec.behind is not None:
        with clock.stage("network behind"):
            codec.behind(x, codec.quantizer.step, codec.quantizer.step)

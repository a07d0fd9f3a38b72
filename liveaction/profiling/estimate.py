"""What coding a signal and training a codec will cost, from the real codec on small crops of the signal.

Seconds are taken to grow linearly with the samples that are gone through, halos included, memory with those that are
gone through at once, plus a constant: crops of growing size are coded until one takes long enough, and the line through
the last two points is followed to what was asked for.
"""

import copy
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from liveaction.codec.codec import Codec, build_codec
from liveaction.codec.grid import shape_of
from liveaction.codec.model import Model, load
from liveaction.codec.quality import QUALITIES
from liveaction.codec.stream import compress, decompress
from liveaction.profiling.measure import peak_memory
from liveaction.signal import Signal
from liveaction.spec import Recipe
from liveaction.training.behind import MEASURED, BehindLoss, code_batch
from liveaction.training.data import Batch, Crops
from liveaction.training.freeze import freeze
from liveaction.training.front import crop_front, try_crop
from liveaction.training.log import TrainingLog
from liveaction.training.loop import build_optimizer
from liveaction.training.loss import distortion, rate
from liveaction.training.prediction import PredictionLoss
from liveaction.training.warm_start import start_warm

if TYPE_CHECKING:
    from liveaction.modalities.base import Modality

CPU = torch.device("cpu")
LONG_ENOUGH = 1.5
"""Seconds; a measured call that takes longer is the last one."""
LADDER = tuple(2**k for k in range(14, 27, 2))
"""Values per crop that are coded."""
ASSUMPTION = (
    "real runs on small crops of this file; seconds grow linearly with its samples, memory with those of a window, "
    "plus a constant"
)
_DIGEST = "0" * 64
_VALIDATION_CROPS = 8

Say = Callable[[str], None]


@dataclass(frozen=True)
class Cost:
    """Seconds, and bytes at the peak beyond what the process and the signal take; None where the system keeps none."""

    seconds: float
    bytes: int | None


@dataclass(frozen=True)
class Work:
    """Samples that coding a signal goes through: all in all, halos included, and at once."""

    total: int
    largest: int


@dataclass
class Line:
    """Points of cost over work, followed linearly: seconds over all samples, bytes over those at once."""

    points: list[tuple[Work, Cost]] = field(default_factory=list)

    def at(self, work: Work) -> Cost:
        """Between two points by interpolation, beyond them along the last two; never less than the last one there."""
        seconds = _follow([(w.total, cost.seconds) for w, cost in self.points], work.total)
        known = [(w.largest, cost.bytes) for w, cost in self.points if cost.bytes is not None]
        return Cost(seconds, round(_follow(known, work.largest)) if known else None)


def _follow(points: Sequence[tuple[int, float]], samples: int) -> float:
    points = sorted(dict(points).items())
    places, values = [n for n, _ in points], [value for _, value in points]
    if samples <= places[-1]:
        return float(np.interp(samples, places, values))
    if len(points) == 1:
        return values[-1] * samples / places[-1]
    slope = (values[-1] - values[-2]) / (places[-1] - places[-2])
    return values[-1] + max(slope, 0.0) * (samples - places[-1])


@dataclass(frozen=True)
class Estimate:
    """What to expect on this machine, on the CPU.

    Attributes:
        compress, decompress: of the whole signal, without loading the model and reading or writing files.
        training: seconds of the recipe's whole training in a process of its own, without reading files and drawing
            pictures; peak bytes beyond a process that has the libraries loaded.
        stream_bytes: the order of the stream's size; the rate depends on the training.
        measured: values of the largest crop that was coded.
        assumption: how the figures were found.
    """

    compress: Cost
    decompress: Cost
    training: Cost
    stream_bytes: int
    measured: int
    assumption: str = ASSUMPTION


def estimate(
    source: str, recipe: Recipe, signal: Signal, modality: "Modality", say: Say = lambda text: None
) -> Estimate:
    """Run the codec on crops of ``signal`` and extrapolate.

    Args:
        source: what names the recipe; a model directory gives its weights.
        say: is told what happens.

    Raises:
        SpecError: the recipe does not fit together.
    """
    crops = Crops.of(modality, signal)
    say("measuring the warm start")
    codec, started = _codec(source, recipe, crops)
    say("fitting entropy tables")
    fitting = _fitting(codec, recipe, crops)
    model = Model(codec, recipe, _DIGEST)
    there, back, size, measured = Line(), Line(), 0.0, 0
    for number, part in enumerate(_parts(signal)):
        say(f"coding a crop of {' x '.join(map(str, part.shape))}")
        data, first, once = _measured(partial(compress, part, model), number == 0)
        _, second, again = _measured(partial(decompress, data[0], model), number == 0)
        started += once + again
        encoding, decoding = _works(codec, part)
        there.points.append((encoding, first))
        back.points.append((decoding, second))
        measured = part.values.size
        size = len(data[0]) / part.values.size
        if max(first.seconds, second.seconds) > LONG_ENOUGH:
            break
    training = _training(recipe, codec, crops, started, fitting, say)
    encoding, decoding = _works(codec, signal)
    return Estimate(there.at(encoding), back.at(decoding), training, round(size * signal.values.size), measured)


def _fitting(codec: Codec, recipe: Recipe, crops: Crops) -> Cost:
    """What fitting entropy tables to this file costs, done in full; the codec has them from then on."""
    began = time.perf_counter()
    peak = peak_memory(lambda: freeze(codec, crops, recipe.training.seed), CPU)
    return Cost(time.perf_counter() - began, peak)


def _works(codec: Codec, signal: Signal) -> tuple[Work, Work]:
    """What encoding and decoding go through: slabs and windows, with what is around them."""
    channels = signal.values.shape[0]
    layout = codec.layout(signal.shape)
    found = []
    for boxes in (codec.slabs(layout), [layout.around(box) for box in layout.windows()]):
        sizes = [channels * prod(shape_of(layout.samples(box))) for box in boxes]
        found.append(Work(sum(sizes), max(sizes)))
    return found[0], found[1]


def _codec(source: str, recipe: Recipe, crops: Crops) -> tuple[Codec, float]:
    """The codec as training begins it, or a trained one, and the seconds that the whole warm start takes."""
    if Path(source).is_dir():
        return load(source, device="cpu").codec, 0.0
    torch.manual_seed(recipe.training.seed)
    codec = build_codec(recipe).eval()
    if recipe.training.start != "warm":
        return codec, 0.0
    wanted, times = recipe.training.warm_crops, [time.perf_counter()]

    def batches() -> Iterator[torch.Tensor]:
        while len(times) <= wanted and (len(times) < 3 or times[-1] - times[1] < LONG_ENOUGH):
            yield crop_front(codec, crops.batch([(1, recipe.training.seed, len(times))], recipe.crops[0]).x)[0]
            times.append(time.perf_counter())

    start_warm(codec, batches())
    once = times[1] - times[0]  # the first one compiles
    each = (times[-1] - times[1]) / max(len(times) - 2, 1)
    return codec, once + each * wanted


def _parts(signal: Signal) -> list[Signal]:
    """Middles of the signal of growing size, the whole of it last where the ladder reaches so far."""
    parts: list[Signal] = []
    for values in LADDER:
        extents = list(signal.shape)
        while prod(extents) * signal.values.shape[0] > values and max(extents) > 1:
            longest = extents.index(max(extents))
            extents[longest] = -(-extents[longest] // 2)
        if not parts or prod(extents) > prod(parts[-1].shape):
            starts = [(n - extent) // 2 for n, extent in zip(signal.shape, extents, strict=True)]
            parts.append(signal.crop(*(slice(s, s + e) for s, e in zip(starts, extents, strict=True))))
    return parts


def _measured(run: Callable[[], Any], first: bool) -> tuple[Any, Cost, float]:
    """The result, the better time of two where one is short, the peak of memory, and what a first call takes more."""
    began = time.perf_counter()
    if first:
        run()  # compiles
    once, times, result = time.perf_counter() - began, list[float](), None
    while len(times) < 2 and sum(times) < LONG_ENOUGH / 3:
        began = time.perf_counter()
        result = run()
        times.append(time.perf_counter() - began)
    peak = peak_memory(run, CPU) if sum(times) < 4 * LONG_ENOUGH else None
    return result, Cost(min(times), peak), max(once - min(times), 0.0)


def _training(recipe: Recipe, codec: Codec, crops: Crops, started: float, fitting: Cost, say: Say) -> Cost:
    """Warm start, steps of every crop size before and after the encoder is frozen, validations."""
    spec, largest = recipe.training, max(recipe.crops, key=prod)
    learns = spec.steps > 0 and next(codec.parameters(), None) is not None
    free, frozen, once = _steps(recipe, codec, crops, say) if learns else (Line(), Line(), 0.0)
    steps, crop = spec.steps, _validation(codec, crops, largest)
    coded = _validations(recipe) * _VALIDATION_CROPS
    if codec.behind is not None:
        coded += MEASURED * len(QUALITIES)
    total = started + once + _opening_a_log() + coded * crop.seconds
    for i, extents in enumerate(recipe.crops if learns else ()):
        work = Work(*[prod(extents) * spec.batch] * 2)
        begin, end = (-(-steps * k // len(recipe.crops)) for k in (i, i + 1))
        split = min(max(round(spec.freeze_at * steps), begin), end)
        total += (split - begin) * free.at(work).seconds + (end - split) * frozen.at(work).seconds
    step_bytes = free.at(Work(*[prod(largest) * spec.batch] * 2)).bytes if learns else 0
    total += fitting.seconds
    if step_bytes is None or crop.bytes is None or fitting.bytes is None:
        return Cost(total, None)
    channels = crops.signals[0].values.shape[0]
    held = 12 * _VALIDATION_CROPS * prod(largest) * channels  # float32 crops, symbols and decoded crops
    return Cost(total, max(step_bytes, held + crop.bytes, fitting.bytes) + _kept(recipe, codec, crops))


def _steps(recipe: Recipe, codec: Codec, crops: Crops, say: Say) -> tuple[Line, Line, float]:
    """Costs of steps before and after the encoder is frozen, and the seconds that the first ones take more."""
    spec, model, largest = recipe.training, copy.deepcopy(codec), max(recipe.crops, key=prod)
    optimizer = build_optimizer(model if model.behind is None else model.behind, spec)
    factors = recipe.codec.factors(recipe.axes)
    half = tuple(max(f, n // 2 // f * f) for n, f in zip(largest, factors, strict=True))
    free, frozen, started = Line(), Line(), 0.0
    for number, (extents, batch) in enumerate(((half, 1), (largest, 1), (largest, spec.batch))):
        samples = prod(extents) * batch
        if free.points and samples <= free.points[-1][0].total:
            continue
        say(f"training on {batch} crop(s) of {' x '.join(map(str, extents))}")
        given = crops.batch([(0, spec.seed, i) for i in range(batch)], extents)
        for line, rounded in ((free, False), (frozen, True)):
            model.encoder.requires_grad_(not rounded)
            model.quantizer.requires_grad_(not rounded)
            predicted = model.predictor is not None
            step = (_prediction_step if predicted else _step)(model, optimizer, recipe, given, rounded)
            _, cost, once = _measured(step, number == 0)
            line.points.append((Work(samples, samples), cost))
            started += once
        if free.points[-1][1].seconds > 2 * LONG_ENOUGH:
            break
    return free, frozen, started


def _kept(recipe: Recipe, codec: Codec, crops: Crops) -> int:
    """Bytes all along: weights, gradients, the optimiser's two states, a checkpoint's copy; pages of mapped files."""
    weights = sum(4 * p.numel() for p in codec.parameters())
    values = crops.signals[0].values
    touched: int = recipe.training.steps * recipe.training.batch * prod(recipe.crops[-1]) * values.shape[0]
    return 5 * weights + 2 * min(touched, values.size) * values.itemsize


def _opening_a_log() -> float:
    """Seconds that a run takes to load what it writes its curves with."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        TrainingLog(Path(folder), 0, True).close()
        return time.perf_counter() - began


def _step(model: Codec, optimizer: Any, recipe: Recipe, batch: Batch, rounded: bool) -> Callable[[], None]:
    """One step as the trainer takes it, at a learning rate of nothing."""
    for group in optimizer.param_groups:
        group["lr"] = 0.0

    behind = None if model.behind is None else BehindLoss(model.behind)

    def step() -> None:
        model.train()
        if behind is not None:
            loss: torch.Tensor = behind(code_batch(model, batch.x, recipe.training.seed, 0, 0))
        else:
            out = model(batch.x, rounded=rounded)
            loss = distortion(batch.x, out.reconstruction, batch.known)
            loss = loss + recipe.training.rate_weight * rate(out.companded, model.quantizer.step, recipe.training.rate)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def _prediction_step(model: Codec, optimizer: Any, recipe: Recipe, batch: Batch, rounded: bool) -> Callable[[], None]:
    """:func:`_step` where networks learn to predict, whether others are frozen or not."""
    loss, steps = PredictionLoss(model), torch.full((len(batch.x),), model.quantizer.step)
    for group in optimizer.param_groups:
        group["lr"] = 0.0

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss(batch.x, steps).bits.backward()
        optimizer.step()

    return step


def _validations(recipe: Recipe) -> int:
    steps, every = recipe.training.steps, recipe.training.validate_every
    return 1 + steps // every + (1 if steps % every else 0)


def _validation(codec: Codec, crops: Crops, extents: tuple[int, ...]) -> Cost:
    """One crop, there and back."""
    x = crops.batch([(2, 0, 0)], extents).x

    def run() -> None:
        with torch.no_grad():
            try_crop(codec, x)

    return _measured(run, False)[1]

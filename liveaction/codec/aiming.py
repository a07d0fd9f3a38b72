"""A stream that has a size, a ratio, a PSNR or an error: steps are tried until one gives it."""

import io
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isinf, log2
from time import perf_counter
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from liveaction.codec.clock import Timings
from liveaction.codec.header import MAX_VOXELS
from liveaction.codec.quality import STEPS, check_rate, choose_step
from liveaction.codec.reader import StreamReader
from liveaction.codec.search import Search, search
from liveaction.codec.slabs import KeptSlabs
from liveaction.codec.target import Aim, Target, target_of
from liveaction.codec.writing import CompressOptions, StreamWriter, WriteOptions, Written
from liveaction.coding.container import ContainerReader
from liveaction.errors import LiveactionWarning, SpecError
from liveaction.signal import Signal

if TYPE_CHECKING:
    from liveaction.codec.model import Model

IN_MEMORY = 1 << 24
"""Values of a signal whose trials are kept in memory; those of larger ones are nameless temporary files."""

COARSEST, FINEST = 4.0, 2.0**-22
"""Steps as shares of the largest latent: at the one all symbols are 0, at the other float32 still holds them."""


def split_options(options: CompressOptions) -> tuple[Target | None, WriteOptions]:
    """The target among the options of compressing, and the others.

    Raises:
        SpecError: there are several targets, or one beside ``step`` or ``quality``.
    """
    given = cast("Mapping[str, Any]", options)
    goals = {key.removeprefix("target_"): value for key, value in given.items() if key.startswith("target_")}
    rest = cast("WriteOptions", {key: value for key, value in given.items() if not key.startswith("target_")})
    target = target_of(**goals)
    check_rate(rest.get("step"), rest.get("quality"), target)
    return target, rest


def write_for_target(signal: Signal, file: BinaryIO, model: "Model", target: Target, options: WriteOptions) -> Written:
    """The stream of a signal that comes closest to a target on the side that it allows, in an empty file.

    Every trial is a whole stream, and for a PSNR or an error decoded by the model; latents are made once. What is
    written is what compressing at its step gives.

    Args:
        signal, file, model: as for :func:`liveaction.codec.stream.write_stream`.
        target: that is looked for.
        options: others, without ``step`` and ``quality``.

    Raises:
        SpecError: no step reaches the target; what can be reached is said, and nothing is written.
        ShapeError, FormatError: as for :func:`liveaction.codec.stream.write_stream`.
    """
    best = _aimed(signal, model, target, options)
    best.file.seek(0)
    shutil.copyfileobj(best.file, file)
    return best.written


def find_step(signal: Signal, model: "Model", target: Target, options: WriteOptions) -> Written:
    """What :func:`write_for_target` would write, by its step; arguments and errors are the same."""
    return _aimed(signal, model, target, options).written


def _aimed(signal: Signal, model: "Model", target: Target, options: WriteOptions) -> "_Best":
    began = perf_counter()
    trials = _Trials(signal, model, target, options)
    found = search(trials.height, trials.start, trials.bounds, target.width)
    best = trials.best
    if best is None or not (found.hit or found.crossed or _is_exact(best)):
        raise SpecError(_out_of_reach(found, trials, signal))
    if not found.hit and not _is_exact(best):
        wanted, reached = (target.text(value, signal.unit) for value in (target.value, best.reached))
        warnings.warn(
            f"{target.option}: expected a step that comes to {wanted}, got {reached} as the closest, at step "
            f"{best.written.step:.4g}",
            LiveactionWarning,
            stacklevel=2,
        )
    aim = Aim(target, best.reached, found.hit, len(found.trials), perf_counter() - began)
    return replace(best, written=replace(best.written, timings=trials.spent, aim=aim))


@dataclass(frozen=True)
class _Best:
    """A trial: its stream, how that was written, what it came to, and its height."""

    file: BinaryIO
    written: Written
    reached: float
    height: float


class _Trials:
    """Streams of one signal at steps that a search asks for.

    Places are such that heights grow with them: octaves of the step, of sizes with the sign turned.

    Attributes:
        best: the highest that is allowed; ``last``: the newest.
        spent: on all of them, without decoding.
    """

    def __init__(self, signal: Signal, model: "Model", target: Target, options: WriteOptions) -> None:
        self.signal, self.model, self.target, self.options = signal, model, target, options
        self.best: _Best | None = None
        self.reached = list[tuple[float, float]]()  # steps, and what they came to
        self.spent = Timings(0, 0, 0, 0)
        self._sign = -1 if target.of_bytes else 1
        self._slabs = KeptSlabs()
        self.start = self._sign * log2(choose_step(model.codec.quantizer.step))

    def bounds(self) -> tuple[float, float]:
        """The outermost places that make sense for the latents that were seen."""
        if not self._slabs.largest:  # whatever the step, all symbols are 0
            return self.start, self.start
        ends = (log2(self._slabs.largest * share) for share in (FINEST, COARSEST))
        low, high = sorted(self._sign * min(max(end, log2(STEPS[0])), log2(STEPS[1])) for end in ends)
        return low, high

    def height(self, place: float) -> float:
        """Try a step."""
        step, number = 2.0 ** (self._sign * place), len(self.reached) + 1
        told = self.options.get("stage", lambda text: None)

        def stage(text: str) -> None:
            told(f"trial {number}, step {step:.3g}: {text}")

        file: Any = io.BytesIO() if self.signal.values.size <= IN_MEMORY else tempfile.TemporaryFile()  # noqa: SIM115
        writer = StreamWriter(file, self.model, self._slabs)
        options = cast("WriteOptions", {**self.options, "quality": None, "step": step, "stage": stage})
        written = writer.add(self.signal, **options)
        written = replace(written, bytes=writer.close())
        self.spent = _sum(self.spent, written.timings)
        reached = self._reached(file, written, stage)
        height = self.target.height(reached)
        self.reached.append((step, reached))
        if height <= 0 and (self.best is None or height > self.best.height):
            if self.best is not None:
                self.best.file.close()
            self.best = _Best(file, written, reached, height)
        else:
            file.close()
        return height

    def _reached(self, file: BinaryIO, written: Written, stage: Any) -> float:
        """What a trial came to, in what its target is stated in."""
        if self.target.kind == "size":
            return written.bytes
        if self.target.kind == "ratio":
            return self.signal.native_bits / (8 * written.bytes)
        file.flush()
        most = max(MAX_VOXELS, self.signal.values.size)
        decoded = StreamReader(ContainerReader(file, "stream"), self.model, "stream", max_voxels=most).read(None, stage)
        stage("comparing")
        errors = self.model.modality.errors(self.signal, decoded)
        return errors["psnr_normalised" if self.target.kind == "psnr" else "rmse"]


def _is_exact(best: _Best) -> bool:
    """Whether the signal comes back as it is: a PSNR and an error are met whatever they are."""
    return isinf(best.height)


def _out_of_reach(found: Search, trials: _Trials, signal: Signal) -> str:
    """What to say where all trials were on one side of the target."""
    target = trials.target
    over = found.trials[0][1] > 0
    pick = min if over == (target.kind in ("size", "error")) else max
    step, reached = pick(trials.reached, key=lambda pair: pair[1])
    steps = [tried for tried, _ in trials.reached]
    place = {min(steps): "its finest", max(steps): "its coarsest"}.get(step, "the best there is")
    wanted, limit = (target.text(value, signal.unit) for value in (target.value, reached))
    return (
        f"{target.option}: expected {'at least' if pick is min else 'at most'} {limit}, which this model reaches at "
        f"step {step:.3g}, {place}, got {wanted}; take that, or another model"
    )


def _sum(one: Timings, two: Timings) -> Timings:
    pairs = ((one.tensors, two.tensors), (one.coding, two.coding))
    cpu = ((one.tensors_cpu, two.tensors_cpu), (one.coding_cpu, two.coding_cpu))
    return Timings(*(a + b for a, b in (*pairs, *cpu)))

"""A stream that has a size, a ratio, a PSNR or an error: steps are tried until one gives it."""

import io
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from math import isinf, log2
from time import perf_counter
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from liveaction.codec.chunk_coder import ChunkCoder
from liveaction.codec.clock import Timings, total
from liveaction.codec.header import MAX_VOXELS
from liveaction.codec.quality import STEPS, check_rate, choose_step
from liveaction.codec.reader import StreamReader
from liveaction.codec.search import search
from liveaction.codec.slabs import KeptSlabs
from liveaction.codec.target import Aim, Target, target_of
from liveaction.codec.writing import CompressOptions, Stage, StreamWriter, WriteOptions, Written
from liveaction.coding.container import ContainerReader
from liveaction.errors import LiveactionWarning, SpecError
from liveaction.signal import Signal

if TYPE_CHECKING:
    from liveaction.codec.model import Model

IN_MEMORY = 1 << 24
"""Values of a signal whose trials are kept in memory; those of larger ones are nameless temporary files."""

COARSEST, FINEST = 4.0, 2.0**-21
"""Steps as shares of the largest latent: at the one all symbols are 0, at the other float32 still holds them."""

AGAIN = 8
"""Trials with one tree, where the heights of several leap over a target."""


def split_options(options: CompressOptions) -> tuple[Target | None, WriteOptions]:
    """The target among the options of compressing, and the others.

    Raises:
        SpecError: there are several targets, or one beside ``step`` or ``quality``.
    """
    given = cast("Mapping[str, Any]", options)
    goals = {key.removeprefix("target_"): value for key, value in given.items() if key.startswith("target_")}
    rest = cast("WriteOptions", {key: value for key, value in given.items() if not key.startswith("target_")})
    target = target_of(**goals)
    check_rate(rest.get("step"), rest.get("quality"), target, rest.get("max_error"))
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
    with closing(_Trials(signal, model, target, options)) as trials:
        best = _aimed(trials)
        best.file.seek(0)
        shutil.copyfileobj(best.file, file)
        return best.written


def find_step(signal: Signal, model: "Model", target: Target, options: WriteOptions) -> Written:
    """What :func:`write_for_target` would write, by its step; arguments and errors are the same."""
    with closing(_Trials(signal, model, target, options)) as trials:
        return _aimed(trials).written


def _aimed(trials: "_Trials") -> "_Best":
    """The best trial, of which all is said.

    Raises:
        SpecError: none will do.
    """
    began, target, signal = perf_counter(), trials.target, trials.signal
    found = search(trials.height, trials.start, trials.bounds, target.width)
    if trials.best is not None and found.crossed and not found.hit and len(trials.model.codec.trees) > 1:
        trials.tree = trials.best.written.tree
        found = search(trials.height, trials.best.place, trials.bounds, target.width, most=AGAIN)
    best = trials.best
    if best is None or not (found.hit or trials.crossed or _is_exact(best)):
        raise SpecError(_out_of_reach(trials, signal))
    within = found.hit or _is_exact(best)
    if not within:
        wanted, reached = (target.text(value, signal.unit) for value in (target.value, best.reached))
        warnings.warn(
            f"{target.option}: expected a step that comes to {wanted}, got {reached} as the closest, at step "
            f"{best.written.step:.4g}",
            LiveactionWarning,
            stacklevel=2,
        )
    aim = Aim(target, best.reached, within, len(trials.reached), perf_counter() - began)
    return replace(best, written=replace(best.written, timings=trials.spent, aim=aim))


@dataclass(frozen=True)
class _Best:
    """A trial: its stream, how that was written, what it came to, its height, and its place."""

    file: BinaryIO
    written: Written
    reached: float
    height: float
    place: float


class _Trials:
    """Streams of one signal at steps that a search asks for.

    Places are such that heights grow with them: octaves of the step, of sizes with the sign turned.

    Attributes:
        best: the highest that is allowed; of equal ones, as exact ones are, the one at the largest place.
        reached: steps, and what they came to.
        spent: on all of them, without decoding.
        start: the first place.
        tree: of the codec, that all next trials take; None chooses it by the step.
    """

    def __init__(self, signal: Signal, model: "Model", target: Target, options: WriteOptions) -> None:
        self.signal, self.model, self.target, self.options = signal, model, target, options
        self.best: _Best | None = None
        self.tree: int | None = None
        self.reached = list[tuple[float, float]]()
        self.spent = Timings(0, 0, 0, 0)
        self._sign = -1 if target.of_bytes else 1
        self._slabs = KeptSlabs()
        self.start = self._sign * log2(choose_step(model.codec.spec))

    def bounds(self) -> tuple[float, float]:
        """The outermost places that make sense for the latents that were seen."""
        if not self._slabs.largest:  # whatever the step, all symbols are 0
            return self.start, self.start
        largest = self._slabs.largest * max(_gain(tree.chunks) for tree in self.model.codec.trees)
        ends = (log2(largest * share) for share in (FINEST, COARSEST))
        low, high = sorted(self._sign * min(max(end, log2(STEPS[0])), log2(STEPS[1])) for end in ends)
        return low, high

    @property
    def crossed(self) -> bool:
        """Whether there were trials on both sides of the target."""
        return len({self.target.height(reached) > 0 for _, reached in self.reached}) > 1

    def height(self, place: float) -> float:
        """Try a step."""
        step, number = 2.0 ** (self._sign * place), len(self.reached) + 1
        told = self.options.get("stage")

        def stage(text: str) -> None:
            if told is not None:
                told(f"trial {number}, step {step:.3g}: {text}")

        file: Any = io.BytesIO() if self.signal.values.size <= IN_MEMORY else tempfile.TemporaryFile()  # noqa: SIM115
        kept = False
        try:
            writer = StreamWriter(file, self.model, self._slabs, self.tree)
            options = self.options.copy()
            options["quality"], options["step"], options["stage"] = None, step, stage
            written = writer.add(self.signal, **options)
            written = replace(written, bytes=writer.close())
            reached = self._reached(file, written, stage)
            height = self.target.height(reached)
            kept = self._keep(_Best(file, written, reached, height, place))
        finally:
            if not kept:
                file.close()
        self.spent = total((self.spent, written.timings))
        self.reached.append((step, reached))
        return height

    def _keep(self, trial: "_Best") -> bool:
        """Keep a trial where it is the best so far."""
        best = self.best
        if trial.height > 0 or (best is not None and (trial.height, trial.place) <= (best.height, best.place)):
            return False
        self.close()
        self.best = trial
        return True

    def close(self) -> None:
        """Close the file of the best trial."""
        if self.best is not None:
            self.best.file.close()

    def _reached(self, file: BinaryIO, written: Written, stage: Stage) -> float:
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


def _out_of_reach(trials: _Trials, signal: Signal) -> str:
    """What to say where all trials were on one side of the target."""
    target = trials.target
    over = trials.best is None
    pick = min if over == (target.kind in ("size", "error")) else max
    limit = pick(reached for _, reached in trials.reached)
    steps = sorted(step for step, reached in trials.reached if reached == limit)
    tried = sorted(step for step, _ in trials.reached)
    step, place = steps[0], "the best of those tried"
    if tried[0] in steps:
        place = "its finest"
    elif tried[-1] in steps:
        step, place = tried[-1], "its coarsest"
    wanted, most = (target.text(value, signal.unit) for value in (target.value, limit))
    return (
        f"{target.option}: expected {'at least' if pick is min else 'at most'} {most}, which this model reaches at "
        f"step {step:.3g}, {place}, got {wanted}; take that, or another model"
    )


def _gain(chunks: ChunkCoder) -> float:
    """How many times larger than latents what is coded of them may be: going on in the lowest band adds up pairs."""
    return float(2.0 ** (sum(sum(step) for step in chunks.continuation.steps) / 2))

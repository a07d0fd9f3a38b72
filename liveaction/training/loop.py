"""The training loop: warm start, growing crops, encoder frozen at the end, exact resume.

Accelerate runs it on one device or many; a recipe's ``batch`` counts the crops of a whole step, so the same recipe
takes the same crops on any number of devices.
"""

import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from liveaction.codec.codec import Codec, build_codec
from liveaction.codec.flips import flip_signs
from liveaction.codec.weights import save_model
from liveaction.errors import FormatError, SpecError, TrainingError
from liveaction.recipe import dump_recipe
from liveaction.spec import Recipe, TrainSpec
from liveaction.stopping import stop_signals
from liveaction.training.behind import BehindLoss, code_batch, figures_of, fit_gains, try_behind
from liveaction.training.checkpoint import Checkpoint, check_recipe, list_checkpoints, load_checkpoint, save_checkpoint
from liveaction.training.class_start import told_by
from liveaction.training.curves import draw_curves
from liveaction.training.data import Batch, Crops, prefetch
from liveaction.training.freeze import freeze
from liveaction.training.front import crop_front, try_crop
from liveaction.training.log import TrainingLog
from liveaction.training.loss import FLOOR, distortion, rate, symbol_entropy
from liveaction.training.prediction import Left, PredictionLoss, draw_steps
from liveaction.training.result import TrainingResult, Validation
from liveaction.training.seeds import CropWord, NoiseWord, torch_seed
from liveaction.training.start_from import take_weights
from liveaction.training.warm_start import measured, parities, start_warm

if TYPE_CHECKING:
    from accelerate import Accelerator

CHECKPOINTS = "checkpoints"
CLIP = 1.0
"""Of the norm of the gradient of networks that predict: a coarse step's may be large."""


@dataclass
class StepReport:
    """What a progress line shows: ``psnr`` in dB (peak to peak 2), ``bits`` per latent, ``ratio`` on native bits."""

    step: int
    loss: float
    psnr: float
    bits: float
    ratio: float
    learning_rate: float
    crop: int
    frozen: bool


@dataclass(frozen=True)
class Listener:
    """Callbacks of whoever shows progress."""

    stage: Callable[[str], None] = lambda text: None
    step: Callable[[StepReport], None] = lambda report: None
    validation: Callable[[Validation], None] = lambda result: None


def learning_rate(spec: TrainSpec, step: int) -> float:
    """Published schedule at ``step`` of ``spec.steps``: rises to the maximum, falls to a thousandth of it."""
    t = (step + 1) / spec.steps
    low = spec.learning_rate / 1000
    return float((spec.learning_rate - low) * (1 - math.cos(math.pi * t) ** (2 * spec.schedule_power)) + low)


def crop_extents(recipe: Recipe, step: int) -> tuple[int, ...]:
    """Extents of the crops at ``step``: the listed ones in turn, for equal shares of the steps."""
    crops, steps = recipe.crops, max(recipe.training.steps, 1)
    return crops[min(step * len(crops) // steps, len(crops) - 1)]


def is_frozen(spec: TrainSpec, step: int) -> bool:
    """Whether ``step`` belongs to the last part, where only the decoder learns, on rounded latents."""
    return step >= spec.freeze_at * spec.steps


def mirrored_axes(recipe: Recipe) -> list[int]:
    """The places of the axes that ``training.mirror`` names."""
    return [recipe.modality.axes.index(name) for name in recipe.training.mirror]


class Trainer:
    """One training run into one folder.

    Args:
        recipe: what to train.
        train, held_out: crops to learn from and to validate on.
        folder: the run's folder, which ends as a model directory.
        bits: bits per element of the training signals in their native dtype, for the ratio shown.
        accelerator: of Accelerate.
        listener: is told of progress.
        start_from: a model directory whose weights are taken instead of the recipe's start.
        labels: the class of each signal of ``train``, for ``training.classes``; none without it.
    """

    def __init__(
        self,
        recipe: Recipe,
        train: Crops,
        held_out: Crops,
        folder: Path,
        bits: float,
        accelerator: "Accelerator",
        listener: Listener | None = None,
        start_from: Path | None = None,
        labels: Sequence[str] = (),
    ) -> None:
        self.start_from, self.labels = start_from, labels
        self.recipe, self.spec, self.folder, self.bits = recipe, recipe.training, folder, bits
        self.train_crops, self.held_out = train, held_out
        self.accelerator, self.listener = accelerator, listener or Listener()
        ranks = accelerator.num_processes
        if self.spec.batch % ranks:
            raise SpecError(f"[training] batch: expected a multiple of the {ranks} processes, got {self.spec.batch}")
        torch.manual_seed(self.spec.seed)
        self.codec: Codec = build_codec(recipe).to(accelerator.device)
        parities(self.codec, mirrored_axes(recipe))  # before data are read
        self.behind = None if self.codec.behind is None else BehindLoss(self.codec.behind)
        networks = self.behind is not None or self.codec.predictor is not None
        learns = networks or (not self.codec.sparse and any(True for _ in self.codec.parameters()))
        if self.spec.steps and not learns:
            raise SpecError(
                f"[training] steps: expected 0 for recipe {recipe.name!r}, whose codec has nothing to learn, got "
                f"{self.spec.steps}"
            )
        self.predictions: list[PredictionLoss] = []
        if self.codec.predictor is not None and self.behind is None:  # behind it, it stays as it is
            self.predictions = [PredictionLoss(tree) for tree in self.codec.trees]
        learner = torch.nn.ModuleList(self.predictions) if self.predictions else self.behind or self.codec
        self.optimizer: Any = build_optimizer(learner, self.spec) if learns else None
        self.elements_per_latent = recipe.hidden / recipe.latents
        self.validations: list[Validation] = []
        self.stopped = 0

    def run(self, resume: bool = False) -> TrainingResult:
        """Train to the end, or until interrupted; leaves a model directory either way.

        Raises:
            TrainingError: the loss is not finite, or ``resume`` finds a checkpoint of another recipe.
        """
        began = time.monotonic()
        first = self._resume() if resume else None
        if first is None:
            first = 0
            if self.behind is not None and self.codec.predictor is not None and self.start_from is None:
                raise SpecError(
                    f"[codec] decoder: expected a predict step that has learnt, for the network behind it, got recipe "
                    f"{self.recipe.name!r} from its start; pass --start-from a model with decoder.kind linear"
                )
            if self.start_from is not None:
                take_weights(self.codec, self.recipe, self.start_from)
                self._check_flips()
            elif self.spec.start == "warm":
                self._warm_start()
        if self.behind is not None:  # what symbols cost decides them, and they are what it learns from
            freeze(self.codec, self.train_crops, self.spec.seed, self.listener.stage)
        log = TrainingLog(self.folder, first, self.accelerator.is_main_process)
        self.validations = [Validation.of(line) for line in log.kept if line["kind"] == "validation"]
        done = first
        try:
            if self._validation_is_due(first) and first not in (known.step for known in self.validations):
                self._validate(first, log)
            with stop_signals(self._ask_to_stop):
                for finished_steps in self._steps(first, log):
                    done = finished_steps
                    if self._is_to_stop():
                        break
            finished = done >= self.spec.steps
            if not finished:
                self._checkpoint(done)
        finally:
            log.close()
        digest = ""
        if self.accelerator.is_main_process:
            digest = self._save()
            draw_curves(self.folder)
        seconds = time.monotonic() - began
        return TrainingResult(self.folder, digest, done, finished, seconds, self.validations, self.stopped)

    def _save(self) -> str:
        self.codec.eval()
        if self.behind is None:
            freeze(self.codec, self.train_crops, self.spec.seed, self.listener.stage)
        else:
            self.listener.stage("weighing what the network adds")
            extents = max(self.recipe.crops, key=prod)
            fit_gains(self.codec, self.train_crops, extents, self.spec.seed, self.listener.stage)
        return save_model(self.codec, self.recipe, self.folder)

    def _warm_start(self) -> None:
        self.listener.stage(f"warm start: measuring {measured(self.codec)}")
        keys = [(CropWord.WARM_START, self.spec.seed, i) for i in range(self.spec.warm_crops)]
        told = None
        if self.spec.classes:
            labels = [self.labels[self.train_crops.drawn(key)] for key in keys]
            told = told_by(self.codec, self._first_crops(keys), labels, self.spec.classes)
        start_warm(self.codec, self._first_crops(keys), mirrored_axes(self.recipe), self.spec.detail, told)

    def _first_crops(self, keys: Sequence[Sequence[int]]) -> Iterator[torch.Tensor]:
        """One crop each, of the first extents, as the codec takes them."""
        extents, device = self.recipe.crops[0], self.accelerator.device
        for key in keys:
            yield crop_front(self.codec, self.train_crops.batch([key], extents).x.to(device))[0]

    def _check_flips(self) -> None:
        """Refuse weights that do not keep what the recipe mirrors.

        Raises:
            SpecError: a flip along such an axis is no flip of the latents.
        """
        for name, axis in zip(self.spec.mirror, mirrored_axes(self.recipe), strict=True):
            if flip_signs(self.codec, axis) is None:
                raise SpecError(
                    f"--start-from {self.start_from}: expected latents that flip along {name!r} as training.mirror "
                    "says, got others; set training.mirror to []"
                )

    def _resume(self) -> int | None:
        found = list_checkpoints(self.folder / CHECKPOINTS)
        if not found:
            return None
        checkpoint = load_checkpoint(found[-1])
        before = check_recipe(checkpoint.recipe, self.recipe, found[-1]).training.steps
        try:
            self.codec.load_state_dict(checkpoint.weights)
            self.optimizer.load_state_dict(checkpoint.optimizer)
        except (RuntimeError, ValueError, LookupError, TypeError) as error:
            raise FormatError(
                f"{found[-1]}: expected the weights and the optimiser of its recipe, got others; delete it and resume "
                "again"
            ) from error
        more = f", now for {self.spec.steps} steps in the place of {before}" if before != self.spec.steps else ""
        self.listener.stage(f"resuming after step {checkpoint.step}{more}")
        return checkpoint.step

    def _steps(self, first: int, log: TrainingLog) -> Iterator[int]:
        """Train from step ``first``; yields the number of finished steps."""
        model, frozen = self._wrap(is_frozen(self.spec, first)), is_frozen(self.spec, first)
        predictions = [self.accelerator.prepare_model(loss) for loss in self.predictions]
        one = self._step if self.behind is None else self._step_behind
        for step, batch in prefetch(self._batch, iter(range(first, self.spec.steps))):
            if is_frozen(self.spec, step) and not frozen:
                model, frozen = self._wrap(True), True
            batch = batch.to(self.accelerator.device)
            if predictions:
                report = self._step_predicted(predictions[step % len(predictions)], batch.x, step)
            else:
                report = one(model, batch, step, frozen)
            self.listener.step(report)
            log.write("train", asdict(report))
            done = step + 1
            if done % self.spec.checkpoint_every == 0 or done == self.spec.steps:
                self._checkpoint(done)
            if self._validation_is_due(done):
                self._validate(done, log)
            yield done

    def _validation_is_due(self, done: int) -> bool:
        return done % self.spec.validate_every == 0 or done == self.spec.steps

    def _wrap(self, frozen: bool) -> torch.nn.Module:
        """What learns as Accelerate wants it, the encoder's side left out once it is frozen."""
        if self.behind is not None:
            wrapped: torch.nn.Module = self.accelerator.prepare_model(self.behind)
            return wrapped
        self.codec.encoder.requires_grad_(not frozen)
        self.codec.quantizer.requires_grad_(not frozen)
        model: torch.nn.Module = self.accelerator.prepare_model(self.codec)
        return model

    def _batch(self, step: int) -> Batch:
        share = self.spec.batch // self.accelerator.num_processes
        rank = self.accelerator.process_index
        keys = [(CropWord.TRAINING, self.spec.seed, step, rank * share + i) for i in range(share)]
        return self.train_crops.batch(keys, crop_extents(self.recipe, step))

    def _step_behind(self, model: torch.nn.Module, batch: Batch, step: int, frozen: bool) -> StepReport:
        """A step of the networks behind sparse latents; crops are coded at steps of their own."""
        x, first = batch.x, self.accelerator.process_index * len(batch.x)
        crops = code_batch(self.codec, x, self.spec.seed, step, first)
        loss = model(crops)
        rate_now = self._descend(loss, step, "log10 of the share of the error that is left")
        quality, bits = figures_of(crops, 10 ** loss.item(), x.numel())
        return StepReport(step + 1, loss.item(), quality, bits, self.bits / bits, rate_now, x.shape[-1], True)

    def _step(self, model: torch.nn.Module, batch: Batch, step: int, frozen: bool) -> StepReport:
        x = batch.x
        generator = torch.Generator(x.device)
        generator.manual_seed(torch_seed(NoiseWord.QUANTISER, self.spec.seed, step, self.accelerator.process_index))
        self.codec.train()
        out = model(x, rounded=frozen, generator=generator)
        error = distortion(x, out.reconstruction, batch.known)
        bits = rate(out.companded, self.codec.quantizer.step, self.spec.rate)
        loss = error + self.spec.rate_weight * bits
        rate_now = self._descend(loss, step, f"log10 MSE {error.item():.3g}, rate term {bits.item():.3g}")
        token = float(rate(out.companded.detach(), self.codec.quantizer.step, "gaussian"))
        used = max(token / self.recipe.latents, 1e-6)
        quality = 10 * math.log10(4) - 10 * error.item()
        ratio = self.bits * self.elements_per_latent / used
        return StepReport(step + 1, loss.item(), quality, used, ratio, rate_now, x.shape[-1], frozen)

    def _step_predicted(self, model: torch.nn.Module, x: torch.Tensor, step: int) -> StepReport:
        """A step of the networks that predict in one tree, which alone learn; the loss is the share that they leave."""
        key = (self.spec.seed, step, self.accelerator.process_index)
        left: Left = model(x, draw_steps(self.codec, key, len(x)).to(x.device))
        used = max(left.bits.item(), 1e-6)
        rate_now = self._descend(left.bits, step, f"bits before {left.before.item():.3g}", clip=CLIP)
        share = used / max(left.before.item(), 1e-6)
        quality = 10 * math.log10(4 / (left.squares.item() + FLOOR))
        return StepReport(step + 1, share, quality, used, self.bits / used, rate_now, x.shape[-1], False)

    def _descend(self, loss: torch.Tensor, step: int, terms: str, clip: float = 0.0) -> float:
        """One step of the optimiser; gives its learning rate.

        Raises:
            TrainingError: the loss is not finite; ``terms`` are what it is made of.
        """
        rate_now = learning_rate(self.spec, step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate_now
        if not bool(torch.isfinite(loss)):
            last = list_checkpoints(self.folder / CHECKPOINTS)
            raise TrainingError(
                f"step {step + 1}: expected a finite loss, got {loss.item()} ({terms}, learning rate {rate_now:.3g}); "
                f"{'the last checkpoint is ' + str(last[-1]) if last else 'no checkpoint was written yet'}; "
                "start again with a lower training.learning_rate"
            )
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        if clip:
            for group in self.optimizer.param_groups:
                self.accelerator.clip_grad_norm_(group["params"], clip)
        self.optimizer.step()
        return rate_now

    def _validate(self, done: int, log: TrainingLog) -> None:
        if not self.accelerator.is_main_process:
            return
        keys = [(CropWord.VALIDATION, self.spec.seed, i) for i in range(8)]
        self.codec.eval()
        with torch.no_grad():
            batch = self.held_out.batch(keys, max(self.recipe.crops, key=prod)).to(self.accelerator.device)
            x = batch.x
            if self.behind is not None:
                decoded, bits = try_behind(self.codec, x)
            else:
                tried = [try_crop(self.codec, crop) for crop in x.split(1)]
                decoded = torch.cat([made for _, made in tried])
                bits = max(symbol_entropy(torch.cat([symbols for symbols, _ in tried])), 1e-6)
            if self.predictions:
                step = torch.full((len(x),), self.codec.quantizer.step, device=x.device)
                bits = max(min(loss(x, step).bits.item() for loss in self.predictions), 1e-6)
        quality = 10 * math.log10(4) - 10 * float(distortion(x, decoded, batch.known))
        result = Validation(done, quality, bits, self.bits * self.elements_per_latent / bits)
        self.validations.append(result)
        self.listener.validation(result)
        log.write("validation", asdict(result))
        log.preview(done, x, decoded)

    def _checkpoint(self, done: int) -> None:
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            checkpoint = Checkpoint(
                done, dump_recipe(self.recipe), self.codec.state_dict(), self.optimizer.state_dict()
            )
            save_checkpoint(checkpoint, self.folder / CHECKPOINTS)

    def _ask_to_stop(self, number: int) -> None:
        """A signal came: the run ends after the step at hand; a second one ends it at once."""
        self.stopped = number
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        self.listener.stage(f"stopping after this step, for {name}; a second one stops at once")

    def _is_to_stop(self) -> bool:
        """Whether a signal came, to any of the processes: all of them end after the same step."""
        if self.accelerator.num_processes == 1:
            return self.stopped != 0
        if self.stopped:
            self.accelerator.set_trigger()
        return bool(self.accelerator.check_trigger())


def build_optimizer(learner: torch.nn.Module, spec: TrainSpec) -> Any:
    """The optimiser that the recipe names, of timm.

    Raises:
        SpecError: timm has none of that name.
    """
    import timm.optim

    try:
        return timm.optim.create_optimizer_v2(learner, opt=spec.optimizer, lr=spec.learning_rate, weight_decay=0.0)
    except (ValueError, AssertionError) as error:
        names = ", ".join(timm.optim.list_optimizers())
        raise SpecError(
            f"[training] optimizer: expected an optimiser of timm, got {spec.optimizer!r}; one of {names}"
        ) from error

"""From ``--data`` to a model directory: the function behind ``liveaction train``."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from liveaction.codec.device import choose_device
from liveaction.codec.model import load
from liveaction.errors import SpecError, TrainingError
from liveaction.locking import locked
from liveaction.model_folder import CONFIG
from liveaction.outputs import check_folder
from liveaction.recipe import dump_recipe, load_recipe
from liveaction.registry import build_modality
from liveaction.spec import Recipe
from liveaction.training.checkpoint import check_recipe, list_checkpoints
from liveaction.training.data import Crops, TrainingItem, cache_folder
from liveaction.training.log import LOG
from liveaction.training.loop import CHECKPOINTS, Listener, Trainer
from liveaction.training.result import TrainingResult, complete_result, write_summary
from liveaction.training.sound import Sieve

if TYPE_CHECKING:
    from accelerate import Accelerator

    from liveaction.modalities.base import Modality

LOCK = ".lock"
PREVIEW = 2**22
"""Samples that the preview of a run shows at most."""


@dataclass(frozen=True)
class Split:
    """Items to learn from and to validate on; ``shared`` where one item has to serve for both."""

    train: list[TrainingItem]
    held_out: list[TrainingItem]
    shared: bool


def split_items(items: list[TrainingItem], held_out: list[TrainingItem]) -> Split:
    """Hold out what is named; else every tenth item from the last on, one at least; else, of one item, itself.

    What is held out is not trained on, but where nothing else would be left.
    """
    if held_out:
        named = {item.identity for item in held_out}
        others = [item for item in items if item.identity not in named]
        return Split(others or items, held_out, not others)
    if len(items) == 1:
        return Split(items, items, True)
    chosen = items[::-1][::10]
    return Split([item for item in items if item not in chosen], chosen[::-1], False)


def classes_of(items: Sequence[TrainingItem], labels: Mapping[Path, str]) -> list[str]:
    """The class of each signal.

    Raises:
        SpecError: one has none.
    """
    known = {str(path.resolve()): label for path, label in labels.items()}
    for item in items:
        if not known.get(item.identity[0]):
            raise SpecError(f"--labels: expected a class of every signal to learn from, got none of {item.name}")
    return [known[item.identity[0]] for item in items]


def _check_labels(recipe: Recipe, labels: Mapping[Path, str] | None, warm: bool) -> None:
    if recipe.training.classes and warm and labels is None:
        raise SpecError(
            f"[training] classes: expected labels with {recipe.training.classes:g}, got none; pass --labels, or 0"
        )
    if labels is not None and not (recipe.training.classes and warm):
        raise SpecError(
            "--labels: expected training.classes above 0 and a start of the recipe's own, which alone look at labels, "
            "got others; leave --labels out, or add --set training.classes=1"
        )


def train(
    recipe: Recipe | str | Path,
    data: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    val: str | Path | Sequence[str | Path] = (),
    resume: bool = False,
    device: str = "auto",
    listener: Listener | None = None,
    start_from: str | Path | None = None,
    skip_bad: bool = False,
    labels: Mapping[Path, str] | None = None,
) -> TrainingResult:
    """Train a codec. Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 end it in order after the step at hand, a second one at once.

    They are handled while it trains and in the main thread alone; what handled them before does so again afterwards.

    Args:
        recipe: what to train, or what ``liveaction.load_recipe`` takes: a shipped recipe's name, a YAML file, a model
            directory. ``training.steps`` 0 ends after the warm start.
        data: a file, a folder, ``synthetic[:COUNT[:FIRST_SEED]]``, a data list ``dataset.json[:KEY]``, or several.
        out: folder of the run; ends as a model directory. Must not hold a run unless ``resume``.
        val: as ``data``, never trained on; without it one item in ten is held out.
        resume: go on from the newest checkpoint in ``out``, for more steps, too; start anew where there is none. Of a
            run that is complete nothing is touched.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.
        listener: is told of progress.
        start_from: a model directory whose weights are taken instead of the recipe's start; see
            :func:`liveaction.training.start_from.take_weights`.
        skip_bad: leave out what cannot be read and name it in the result; without, the first such source is an error.
        labels: the class of every file to learn from, which ``training.classes`` needs and nothing else takes.

    Returns:
        Where the model is, and how it did on what was held out.

    Raises:
        FormatError: data that cannot be read.
        SpecError: ``out`` is what is read, or lies in it; another process trains into it; labels without
            ``training.classes``, or that without labels of every file.
        TrainingError: ``out`` already holds a run, a loss that is not finite, or a checkpoint of another recipe.

    Example:
        >>> import liveaction
        >>> recipe = liveaction.load_recipe("ct_smoke", ["training.steps=0"])
        >>> result = liveaction.train(recipe, "synthetic:2", "runs/phantom")
        >>> liveaction.load(result.folder).recipe.name
        'ct_smoke'
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    folder, listener = Path(out), listener or Listener()
    _check_labels(recipe, labels, start_from is None)
    if folder.exists() and not folder.is_dir():
        raise TrainingError(f"{folder}: expected a folder for the run, got a file; take another --out")
    _refuse_other_run(folder, recipe, resume)
    if resume and (before := complete_result(folder, recipe)) is not None:
        return before
    check_folder(str(folder), folder, {"--data or --val": [Path(source) for source in (*_listed(data), *_listed(val))]})
    accelerator = _accelerator(device)
    modality = build_modality(recipe.modality)
    sieve = Sieve(modality, cache_folder(), skip_bad, listener.stage)
    items, named = sieve.find("--data", _listed(data)), sieve.find("--val", _listed(val))
    check_folder(str(folder), folder, {}, [item.path for item in (*items, *named) if item.path is not None])
    with _alone(folder, accelerator):
        _refuse_other_run(folder, recipe, resume)
        with accelerator.main_process_first():
            split = split_items(sieve.read("--data", items), sieve.read("--val", named))
            classes = [] if labels is None else classes_of(split.train, labels)
            train_crops, held_out_crops = (
                Crops(modality, part, sieve.folder) for part in (split.train, split.held_out)
            )
        if split.shared:
            listener.stage("validation uses signals that are trained on, so its figures are not held out; add --val")
        widths = [signal.values.dtype.itemsize * 8 for signal in train_crops.signals]
        bits = float(np.average(widths, weights=train_crops.shares))
        given = None if start_from is None else Path(start_from)
        trainer = Trainer(recipe, train_crops, held_out_crops, folder, bits, accelerator, listener, given, classes)
        result = trainer.run(resume)
        result.left_out = tuple(sieve.left_out)
        if accelerator.is_main_process:
            listener.stage("drawing a preview of a held-out signal")
            draw_preview(folder, split.held_out[0], modality, str(accelerator.device))
            write_summary(result, recipe, str(accelerator.device), accelerator.num_processes)
    return result


def _refuse_other_run(folder: Path, recipe: Recipe, resume: bool) -> None:
    """Refuse a folder that holds a run, unless it can go on with this recipe."""
    checkpoints, whole = list_checkpoints(folder / CHECKPOINTS), (folder / CONFIG).exists()
    if not resume:
        if checkpoints or whole or (folder / LOG).exists():
            raise TrainingError(
                f"{folder}: expected a folder without a run; add --resume to go on, or take another --out"
            )
    elif whole:
        before = check_recipe(dump_recipe(load_recipe(folder)), recipe, folder)
        if not checkpoints and before.training.steps:
            raise TrainingError(
                f"{folder}: expected a checkpoint to go on from, got a model alone; take another --out, with "
                f"--start-from {folder}"
            )


@contextmanager
def _alone(folder: Path, accelerator: "Accelerator") -> Iterator[None]:
    """Keep other trainings out of the folder; the processes of one count as one."""
    if not accelerator.is_main_process:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / LOCK):
        yield


def _listed(sources: str | Path | Sequence[str | Path]) -> list[str]:
    return [str(source) for source in ([sources] if isinstance(sources, str | Path) else sources)]


def draw_preview(folder: Path, item: TrainingItem, modality: "Modality", device: str) -> Path:
    """Code the middle of a signal with the model in ``folder``, there and back, and draw it to ``preview.png``."""
    signal = item.read(modality)
    extents = list(signal.shape)
    while prod(extents) > PREVIEW:
        longest = extents.index(max(extents))
        extents[longest] -= -(-extents[longest] // 4)
    starts = [(n - extent) // 2 for n, extent in zip(signal.shape, extents, strict=True)]
    signal = signal.crop(*(slice(start, start + extent) for start, extent in zip(starts, extents, strict=True)))
    model = load(folder, device=device)
    data = model.compress(signal)
    back = model.decompress(data)
    path = folder / "preview.png"
    ratio = signal.native_bits / (8 * len(data))
    modality.preview(signal, back, path, f"{model.recipe.name}, middle of {item.name}: {ratio:.0f}:1")
    return path


def _accelerator(device: str) -> "Accelerator":
    from accelerate import Accelerator

    wanted = torch.device(choose_device(device))
    if wanted.type == "cuda" and wanted.index is not None:
        torch.cuda.set_device(wanted)
    accelerator = Accelerator(cpu=wanted.type == "cpu")
    if accelerator.device.type != wanted.type:  # Accelerate keeps the first device of a process
        raise TrainingError(
            f"--device: expected to train on {wanted}, got a process that has trained on {accelerator.device}; start "
            "another one"
        )
    return accelerator

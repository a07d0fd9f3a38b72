"""What a run ends with, and ``training.json``, which is written last: where it says so, there is nothing left to do."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import torch

from liveaction.codec.card import TRAINING
from liveaction.codec.weights import write_json
from liveaction.model_folder import CONFIG, ENCODER, TABLES, WEIGHTS, stored
from liveaction.recipe import parse_recipe
from liveaction.spec import Recipe


@dataclass(frozen=True)
class LeftOut:
    """A source that could not be read and was skipped, and why."""

    source: str
    error: str


@dataclass
class Validation:
    """Held-out crops, rounded latents: PSNR in dB (peak to peak 2), order-0 bits per latent, ratio on native bits."""

    step: int
    psnr: float
    bits: float
    ratio: float

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """From a line of the log or of the summary."""
        return cls(**{each.name: values[each.name] for each in fields(cls)})


@dataclass
class TrainingResult:
    """What a run ends with.

    ``finished`` is False when it was interrupted, ``stopped`` then the number of the signal that did it; ``untouched``
    is True where a run that was complete before was to be resumed. ``left_out`` is what ``skip_bad`` skipped.
    """

    folder: Path
    digest: str
    steps: int
    finished: bool
    seconds: float
    validations: list[Validation] = field(default_factory=list)
    stopped: int = 0
    untouched: bool = False
    left_out: Sequence[LeftOut] = ()


def write_summary(result: TrainingResult, recipe: Recipe, device: str, processes: int) -> None:
    """Write ``training.json``; the model is whole by then."""
    summary = {
        "recipe": recipe.name,
        "digest": result.digest,
        "steps": result.steps,
        "finished": result.finished,
        "seconds": round(result.seconds, 1),
        "device": device,
        "processes": processes,
        "torch": torch.__version__,
        "validation": [asdict(validation) for validation in result.validations],
        "left_out": [asdict(each) for each in result.left_out],
    }
    write_json(summary, result.folder / TRAINING)


def complete_result(folder: Path, recipe: Recipe) -> TrainingResult | None:
    """How a run of this recipe ended, of which nothing is left to do; None where something is."""
    if not all(stored(folder / name).is_file() for name in (WEIGHTS, ENCODER, TABLES)):
        return None
    try:
        config, summary = (json.loads((folder / name).read_text(encoding="utf-8")) for name in (CONFIG, TRAINING))
        same = parse_recipe(config["recipe"], str(folder / CONFIG)) == recipe and config["digest"] == summary["digest"]
        if not same or not summary["finished"]:
            return None
        validations = [Validation.of(each) for each in summary["validation"]]
        left_out = tuple(LeftOut(each["source"], each["error"]) for each in summary.get("left_out", ()))
        digest, steps, seconds = config["digest"], summary["steps"], summary["seconds"]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return TrainingResult(folder, digest, steps, True, seconds, validations, untouched=True, left_out=left_out)

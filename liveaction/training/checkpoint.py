"""Checkpoints: weights and optimiser state as safetensors and JSON, written whole or not at all."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from liveaction.codec.tensors import read_tensors, save_tensors
from liveaction.codec.weights import tensors_of, write_json
from liveaction.errors import FormatError, TrainingError
from liveaction.files import atomic_path, read_small, require_regular
from liveaction.model_folder import LONGEST_CONFIG
from liveaction.recipe import parse_recipe
from liveaction.spec import Recipe
from liveaction.strict_json import read_json_bytes

KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """State after ``step`` finished steps. Data and noise are functions of the step, so nothing else is needed."""

    step: int
    recipe: dict[str, Any]
    weights: dict[str, torch.Tensor]
    optimizer: dict[str, Any]


def save_checkpoint(checkpoint: Checkpoint, folder: Path) -> Path:
    """Write ``folder/step_NNNNNNNN`` and drop all but the newest two.

    It appears whole or not at all.
    """
    final = folder / f"step_{checkpoint.step:08d}"
    folder.mkdir(parents=True, exist_ok=True)
    tensors, numbers = _flatten(checkpoint.optimizer["state"])
    weights = {k: v.detach().cpu().contiguous().clone() for k, v in checkpoint.weights.items()}
    state = {
        "step": checkpoint.step,
        "recipe": checkpoint.recipe,
        "param_groups": checkpoint.optimizer["param_groups"],
        "numbers": numbers,
    }
    with atomic_path(final) as part:
        part.mkdir()
        save_tensors(weights, part / "weights.safetensors")
        save_tensors(tensors, part / "optimizer.safetensors")
        write_json(state, part / "state.json")
    for old in list_checkpoints(folder)[:-KEPT]:
        shutil.rmtree(old)
    return final


def list_checkpoints(folder: Path) -> list[Path]:
    """Whole checkpoints, oldest first."""
    return sorted(folder.glob("step_*"))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint back; tensors only where their headers say that they are those of its recipe.

    Raises:
        FormatError: a file of it is missing or damaged, or holds something else.
    """
    try:
        about = path / "state.json"
        state = read_json_bytes(read_small(about, LONGEST_CONFIG), str(about), "the state of a training")
        wanted = tensors_of(parse_recipe(state["recipe"], str(about)))
        weights = read_tensors(path / "weights.safetensors", wanted, "the weights of its recipe")
        tensors = _read_optimizer(path / "optimizer.safetensors", sum(tensor.nbytes for tensor in weights.values()))
        optimizer = {"state": _unflatten(tensors, state["numbers"]), "param_groups": state["param_groups"]}
        return Checkpoint(int(state["step"]), dict(state["recipe"]), weights, optimizer)
    except (OSError, ValueError, LookupError, TypeError, RecursionError, SafetensorError) as error:
        line = " ".join(str(error).split())
        raise FormatError(f"{path}: expected a whole checkpoint, got {line}; delete it and resume again") from error


def check_recipe(found: dict[str, Any], wanted: Recipe, where: Path) -> Recipe:
    """The recipe that a run was started with, where it can go on with ``wanted``: the same, or for more steps.

    Raises:
        TrainingError: it cannot.
    """
    before = parse_recipe(found, str(where))
    steps, more = before.training.steps, wanted.training.steps
    if wanted != before.model_copy(update={"training": before.training.model_copy(update={"steps": more})}):
        raise TrainingError(
            f"{where}: expected a checkpoint of this very recipe, got one of {before.name!r} with other settings; "
            "resume with the recipe and --set it was started with, or take a new --out"
        )
    if more < steps:
        raise TrainingError(
            f"{where}: expected at least the {steps} training.steps that the run was started with, got {more}; resume "
            "with as many or more, or take a new --out"
        )
    return before


def _read_optimizer(path: Path, weights: int) -> dict[str, torch.Tensor]:
    """The tensors of an optimiser of so many bytes of weights; which ones it keeps is its own affair, up to a size."""
    require_regular(path)
    most = 8 * weights + 2**20
    if path.stat().st_size > most:
        raise OSError(f"more than {most} bytes in {path.name}")
    return load_file(path)


def _flatten(state: dict[int, dict[str, Any]]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    tensors, numbers = {}, {}
    for index, entries in state.items():
        for name, value in entries.items():
            key = f"{index}/{name}"
            if isinstance(value, torch.Tensor):
                tensors[key] = value.detach().cpu().contiguous().clone()
            else:
                numbers[key] = value
    return tensors, numbers


def _unflatten(tensors: dict[str, torch.Tensor], numbers: dict[str, Any]) -> dict[int, dict[str, Any]]:
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**tensors, **numbers}.items():
        index, name = key.split("/", 1)
        state.setdefault(int(index), {})[name] = value
    return state

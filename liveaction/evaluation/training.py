"""The models of a protocol: trained once, from files that are written down."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liveaction.errors import FormatError, SpecError, TrainingError
from liveaction.evaluation.folds import Fold
from liveaction.evaluation.parts import DataFile
from liveaction.evaluation.protocol import Protocol
from liveaction.evaluation.sources import digest_of, protocol_subjects
from liveaction.files import atomic_path
from liveaction.model_folder import CONFIG
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality
from liveaction.spec import Recipe
from liveaction.stopping import Stopped
from liveaction.training.loop import Listener
from liveaction.training.result import complete_result
from liveaction.training.run import train

if TYPE_CHECKING:
    from liveaction.modalities.base import Modality

TRAINED_ON = "trained_on.json"

Announce = Callable[[str, Recipe], Listener]
"""Is told of a training that begins, by its name and recipe, and gives who listens to it."""


@dataclass(frozen=True)
class Trained:
    """A model of a protocol: which codec's, of which seed and fold, and its directory."""

    codec: str
    seed: int
    fold: Fold
    folder: Path


def train_models(
    protocol: Protocol, data: Path, out: Path, device: str, announce: Announce | None = None
) -> list[Trained]:
    """Train what the protocol names, unless it is there; a training that was interrupted goes on.

    Args:
        data: the folder of the protocol's files; ``out`` that of the evaluation.

    Returns:
        A model of each codec, seed and fold.

    Raises:
        FormatError: a file is not there, or one of several folds holds what another does.
        SpecError: a model directory holds a model of another recipe, or one that learnt from other files.
        TrainingError: a training fails.
        Stopped: a training was interrupted.
    """
    _check_contents(protocol, data)
    models = list(_models(protocol, out))
    for model in models:
        recipe = protocol.recipe(model.codec, model.seed, model.fold)
        _train(model.fold.learn, recipe, data, model.folder, device, announce)
    return models


def _models(protocol: Protocol, out: Path) -> Iterator[Trained]:
    """Where the models go: ``CODEC``, after which a fold and a seed other than 0 are named."""
    for name, entry in protocol.codecs.items():
        for seed in protocol.seeds if entry.seeds is None else entry.seeds:
            for fold in protocol.folds_of(name):
                words = [name, fold.name, f"seed{seed}" if seed else ""]
                yield Trained(name, seed, fold, out / "models" / "_".join(filter(None, words)))


def _check_contents(protocol: Protocol, data: Path) -> None:
    """Refuse folds one of which holds, under another name, what is coded in another."""
    if not protocol.files:
        return
    first = next(iter(protocol.codecs))
    modality = build_modality(protocol.recipe(first, 0, protocol.folds_of(first)[0]).modality)
    known: dict[str, str] = {}
    for subject in protocol_subjects(data, protocol.files, modality):
        digest = digest_of(subject.path, modality)
        if digest in known:
            raise FormatError(
                f"--data {data}: expected every signal in one fold, got the same in {known[digest]!r} and "
                f"{subject.name!r}; list one of them"
            )
        known[digest] = subject.name


def _train(
    learn: Sequence[DataFile], recipe: Recipe, data: Path, folder: Path, device: str, announce: Announce | None
) -> None:
    modality = build_modality(recipe.modality)
    files = _training_files(learn, data, folder.parents[1] / "data", modality)
    learnt = [{"name": Path(file).name, "digest": digest_of(Path(file), modality)} for file in files]
    record = folder / TRAINED_ON
    if (folder / CONFIG).exists():
        before = _recorded(record)
        if load_recipe(folder) != recipe or before != learnt:
            what = "settings" if before == learnt else "files"
            raise SpecError(
                f"{folder}: expected the model of this protocol, got one of other {what}; remove it, or take another "
                "--out"
            )
        if complete_result(folder, recipe) is not None:
            return
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(record) as part:
        part.write_text(json.dumps(learnt, indent=1) + "\n")
    listener = announce(folder.name, recipe) if announce else None
    result = train(recipe, files, folder, val=files, resume=True, device=device, listener=listener)
    if not result.finished:
        text = f"{folder}: stopped after step {result.steps}; the same command goes on"
        raise Stopped(result.stopped, text) if result.stopped else TrainingError(text)


def _recorded(path: Path) -> Any:
    """What a model learnt from; None where that is not known."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return None


def _training_files(learn: Sequence[DataFile], data: Path, parts: Path, modality: "Modality") -> list[str]:
    """Paths of what is trained on; a part of a file is written to a file of its own."""
    files = []
    for subject in protocol_subjects(data, learn, modality):
        path = subject.path
        if subject.part.part:
            named = f"{path.name.split('.')[0]}.{subject.part.label}.{digest_of(path, modality)[:8]}"
            path = parts / f"{named}{''.join(path.suffixes)}"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                modality.write(subject.read(modality), path)
        files.append(str(path))
    return files

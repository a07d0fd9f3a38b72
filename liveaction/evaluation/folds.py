"""Folds: which files a model learns from, and which ones it codes, so that none is coded by a model that saw it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

from liveaction.evaluation.parts import DataFile, FoldFile, Part


@dataclass(frozen=True)
class Fold:
    """One model's files.

    Attributes:
        name: what its folder is called after the codec; empty where a protocol has one split alone.
        learn, code: files to learn from, and to code.
        settings: of its recipe, after the codec's own.
    """

    name: str
    learn: tuple[DataFile, ...]
    code: tuple[DataFile, ...]
    settings: tuple[str, ...] = ()


def divided(files: Sequence[FoldFile], count: int | None, part: Part | None = None) -> tuple[Fold, ...]:
    """Folds of files that lie next to each other, as many in each as can be; every file is coded in one of them.

    Args:
        count: of the folds; None for one of each file.
        part: of every file that is coded; what is learnt from is the file as it is listed.

    Raises:
        ValueError: a file is listed twice, or a fold would have no file to learn from or none to code.
    """
    paths = [PurePosixPath(file.path) for file in files]
    twice = next((str(path) for path in paths if paths.count(path) > 1), None)
    if twice:
        raise ValueError(f"files: expected every file in one fold, got {twice!r} in two; list it once")
    folds = len(files) if count is None else count
    if not 2 <= folds <= len(files):
        raise ValueError(
            f"folds: expected 2 or more, with a file to learn from and one to code in each, got {folds} of "
            f"{len(files)} files"
        )
    ends = [len(files) * number // folds for number in range(folds + 1)]
    return tuple(
        Fold(
            f"fold{number + 1}",
            tuple(as_learnt(file) for file in (*files[:low], *files[high:])),
            tuple(coded_as(file, part or {}) for file in files[low:high]),
        )
        for number, (low, high) in enumerate(pairwise(ends))
    )


def own_folds(files: Sequence[FoldFile], learnt: Part, coded: Part) -> tuple[Fold, ...]:
    """One of each file: learnt from a part of it, which is apart from what is coded."""
    return tuple(
        Fold(f"own{number + 1}", (DataFile(path=file.path, part=learnt),), (coded_as(file, coded),), file.own)
        for number, file in enumerate(files)
    )


def coded_as(file: FoldFile, part: Part) -> DataFile:
    """What is coded of a file."""
    return DataFile(path=file.path, part=file.part or part)


def as_learnt(file: FoldFile) -> DataFile:
    """What others learn from."""
    return DataFile(path=file.path, part=file.part)

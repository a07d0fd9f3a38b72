"""A judge that was learnt here: a head kept in a folder."""

import hashlib
from pathlib import Path

import numpy as np

from liveaction.errors import FormatError, SpecError
from liveaction.evaluation.judges.base import Judge
from liveaction.files import file_digest
from liveaction.learning.kept import load_head
from liveaction.signal import Signal


class FolderJudge(Judge):
    """A kept head of samples; says the name of a class.

    Raises:
        FormatError: the folder holds no head.
        SpecError: its head takes latents, or says something else than classes.
    """

    def __init__(self, folder: Path) -> None:
        self._head = load_head(folder)
        takes, task = self._head.takes.kind, self._head.spec.task
        if takes != "samples" or task != "class":
            raise SpecError(
                f"--judge {folder}: expected a head that tells classes from samples, got one of {takes} for the task "
                f"{task}; take one of samples or resampleN"
            )
        self.name = folder.resolve().name
        self.label, self.classes = f"the head {self.name}", self._head.names
        digest = hashlib.sha256()
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            digest.update(f"{file_digest(path)}  {path.relative_to(folder).as_posix()}\n".encode())
        self.library = f"liveaction head {digest.hexdigest()[:16]}"

    def refuses(self, signal: Signal, modality: str) -> str | None:
        """Signals of another modality than the one it learnt from."""
        return None if modality == self._head.modality else f"learnt from {self._head.modality}, not from {modality}"

    def predict(self, signal: Signal) -> str:
        """The name of the class, of the values in their unit as float32 (float64 where those are)."""
        values = signal.filled()
        wide = np.float64 if values.dtype == np.float64 else np.float32
        (index,) = np.asarray(self._head.predict(values.astype(wide)[None])).reshape(-1)
        if not 0 <= index < len(self._head.names):
            raise FormatError(f"{self.name}: expected one of {len(self._head.names)} classes, got number {index}")
        return str(self._head.names[int(index)])

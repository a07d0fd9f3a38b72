"""What a run leaves to look at while it goes: JSON lines, TensorBoard, preview slices."""

import json
from pathlib import Path
from typing import Any

import torch

from liveaction.errors import FormatError
from liveaction.files import atomic_path

LOG = "log.jsonl"


class TrainingLog:
    """Appends to ``log.jsonl`` and ``tensorboard/`` of a run.

    Args:
        folder: the run's folder.
        first: finished steps at the start; later lines of an earlier try are dropped, so that none stands twice.
        active: False on all processes but the first, which then write nothing.

    Attributes:
        kept: the lines of an earlier try.

    Raises:
        FormatError: the log that is there is none.
    """

    kept: list[dict[str, Any]]

    def __init__(self, folder: Path, first: int, active: bool) -> None:
        self.active, self.kept = active, []
        if not active:
            return
        from torch.utils.tensorboard import SummaryWriter

        folder.mkdir(parents=True, exist_ok=True)
        path = folder / LOG
        if first:
            self.kept = [line for line in read_log(folder) if line["step"] <= first]
        with atomic_path(path) as part:
            part.write_text("".join(json.dumps(line) + "\n" for line in self.kept))
        self.file = path.open("a", encoding="utf-8")
        self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=first + 1 if first else None)

    def write(self, kind: str, values: dict[str, Any]) -> None:
        """One line of ``kind`` "train" or "validation"; ``values`` has a step."""
        if not self.active:
            return
        self.file.write(json.dumps({"kind": kind, **values}) + "\n")
        self.file.flush()
        for name, value in values.items():
            if isinstance(value, float):
                self.board.add_scalar(f"{kind}/{name}", value, values["step"])

    def preview(self, step: int, original: torch.Tensor, decoded: torch.Tensor) -> None:
        """Middle planes of two validation crops ``[B, C, *S]`` beside their reconstructions, for TensorBoard."""
        if not self.active:
            return
        rows = [torch.cat([_plane(original[i]), _plane(decoded[i])], 1) for i in range(min(2, original.shape[0]))]
        self.board.add_image("original and reconstruction", torch.cat(rows), step, dataformats="HW")

    def close(self) -> None:
        """Flush and close."""
        if self.active and not self.file.closed:
            self.file.close()
            self.board.close()


def read_log(folder: Path) -> list[dict[str, Any]]:
    """All whole lines of a run's log; a last line cut short by a crash is left out.

    Raises:
        FormatError: a line is not one of a log.
    """
    path = folder / LOG
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [_parsed(line, f"{path}:{number}") for number, line in enumerate(lines, 1)]


def _parsed(line: bytes, where: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(line)
        if not isinstance(found["step"], int) or not isinstance(found["kind"], str):
            raise TypeError
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise FormatError(
            f"{where}: expected a line of a training's log, got {line[:40]!r}; take that line out, or take a new --out"
        ) from error
    return found


def _plane(x: torch.Tensor) -> torch.Tensor:
    """A 2-D picture in [0, 1] through the middle of ``[C, *S]``: last two axes of the first channel."""
    plane = x[0].float().cpu()
    while plane.ndim > 2:
        plane = plane[plane.shape[0] // 2]
    while plane.ndim < 2:
        plane = plane[None]
    low, high = float(plane.min()), float(plane.max())
    return (plane - low) / max(high - low, 1e-6)

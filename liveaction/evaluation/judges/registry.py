"""Judges by what ``--judge`` says: a name under the entry points ``liveaction.judges``, ``timm:``, or a folder."""

import difflib
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from liveaction.errors import SpecError, UnknownNameError
from liveaction.evaluation.judges.base import Judge

GROUP = "liveaction.judges"


def judge_labels() -> dict[str, str]:
    """What every installed judge is called in reports, by its name, sorted; none of their libraries is loaded."""
    return {name: str(point.load().label) for name, point in sorted(_points().items())}


def make_judge(text: str) -> Judge:
    """The judge that a text names.

    Args:
        text: a name; ``timm:NAME:WEIGHTS.safetensors``; else a folder that holds a kept head.

    Raises:
        UnknownNameError: there is none.
        SpecError: its package is not installed, it has no weights, or the entry point is no judge.
        FormatError: the folder holds no head.
    """
    points = _points()
    if text in points:
        judge = points[text].load()()
        if not isinstance(judge, Judge):
            raise SpecError(f"--judge {text}: expected a class of judges under {GROUP}, got {type(judge).__name__!r}")
        return judge
    if text.startswith("timm:"):
        from liveaction.evaluation.judges.timm_weights import TimmJudge

        return TimmJudge(text.removeprefix("timm:"))
    if Path(text).is_dir():
        from liveaction.evaluation.judges.folder import FolderJudge

        return FolderJudge(Path(text))
    close = difflib.get_close_matches(text, points) or sorted(points)
    raise UnknownNameError(
        f"--judge: expected a folder of a kept head, timm:NAME:WEIGHTS.safetensors or a judge, got {text!r}; did you "
        f"mean {', '.join(close)}?"
    )


def _points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}

"""The card of a model, in Markdown: made from its ``config.json``, ``training.json`` and ``about.json``.

It names files, never folders: where somebody's data lie is nobody else's business.
"""

import json
from pathlib import Path, PurePath
from typing import Any

from liveaction.errors import FormatError, printable
from liveaction.files import read_small
from liveaction.home import ABOUT, LONGEST_ABOUT
from liveaction.model_folder import CONFIG, read_config
from liveaction.strict_json import read_json_bytes

TRAINING = "training.json"
_LONGEST_TRAINING = 1 << 24
_UNKNOWN = "Not recorded in `about.json`.\n"


def make_card(folder: Path, name: str = "", measured: str = "", repository: str = "") -> str:
    """The card of a model directory.

    Args:
        folder: with ``config.json``; ``training.json`` counts where it is of the same weights.
        name: of the model; the folder's where empty.
        measured: Markdown of what was measured, instead of the names of files in ``about.json``.
        repository: of a hub, ``owner/name``: the card then begins with what hubs read, and says how to get it.

    Raises:
        FormatError: a file is not what it should be.
    """
    config = read_config(folder / CONFIG)
    recipe, digest = config["recipe"], config["digest"]
    modality, described = _text(_table(recipe.get("modality")).get("name")), _text(recipe.get("description"))
    about, training = _read(folder / ABOUT, LONGEST_ABOUT), _read(folder / TRAINING, _LONGEST_TRAINING)
    title = name or (repository.rpartition("/")[2] if repository else folder.resolve().name)
    parts = [_front(about, modality)] if repository else []
    named = f"Recipe `{_text(recipe.get('name'))}`{f': {described}' if described else ''}."
    parts += [f"# {title}\n", f"{named} For {modality}; weights `{digest[:12]}`.\n"]
    if repository:
        parts.append(
            f"```\nliveaction models get {repository} --digest {digest[:12]}\n```\n\n"
            "Streams say which weights they need; once the model is there, `liveaction decompress FILE.lva BACK` finds "
            "it.\n"
        )
    parts += ["## Learnt from\n", _learnt(about)]
    if training.get("digest") == digest:
        parts += ["## Training\n", _trained(training)]
    if measured or _list(about.get("measured_on")):
        parts += ["## Measured on files that it has not seen\n", measured or _listed(about["measured_on"])]
    if about.get("not_for"):
        parts += ["## Not for\n", f"{_text(about['not_for'])}.\n"]
    return "\n".join(parts)


def shown_about(folder: Path) -> dict[str, Any]:
    """What others may see of an ``about.json``: of files their names alone, and no default for anything."""
    about = _read(folder / ABOUT, LONGEST_ABOUT)
    if "data" in about:
        about["data"] = [_table(row) | {"file": _base(_table(row).get("file"))} for row in _list(about["data"])]
    if "measured_on" in about:
        about["measured_on"] = [_base(name) for name in _list(about["measured_on"])]
    return about | {"default_for": []}


def _front(about: dict[str, Any], modality: str) -> str:
    """What hubs read: JSON strings are YAML."""
    license_line = f"license: {json.dumps(_text(about['license']))}\n" if about.get("license") else ""
    tags = ["liveaction", "compression", "learned-codec", modality]
    return f"---\nlibrary_name: liveaction\n{license_line}tags: {json.dumps(tags)}\n---\n"


def _learnt(about: dict[str, Any]) -> str:
    rows = [_table(row) for row in _list(about.get("data"))]
    if not rows:
        return _UNKNOWN
    lines = [f"| {_base(row.get('file'))} | {_text(row.get('from'))} |" for row in rows]
    return "\n".join(["| file | from, licence |", "| --- | --- |", *lines]) + "\n"


def _trained(training: dict[str, Any]) -> str:
    """Steps, time, and the last validation, on crops that were held out."""
    steps, seconds = training.get("steps", 0), training.get("seconds", 0)
    begun = "No step of training: what the recipe starts with, fitted to the files,"
    made = f"{_text(steps)} steps" if steps else begun
    text = (
        f"{made} in {printable(seconds)} s on {_text(training.get('device'))}, torch {_text(training.get('torch'))}.\n"
    )
    validations = _list(training.get("validation"))
    if validations and (last := _table(validations[-1])):
        text += (
            f"\nAt the end, on crops held out of these files: PSNR {_number(last.get('psnr'))} dB (peak to peak 2), "
            f"{_number(last.get('bits'))} bits per latent before the coder's contexts, ratio "
            f"{_number(last.get('ratio'))}.\n"
        )
    left_out = _list(training.get("left_out"))
    if left_out:
        text += f"\nLeft out as unreadable: {', '.join(_base(_table(each).get('source')) for each in left_out)}.\n"
    return text


def _listed(names: Any) -> str:
    return ", ".join(_base(name) for name in _list(names)) + "\n"


def _read(path: Path, most: int) -> dict[str, Any]:
    """A JSON table; an empty one where there is no file.

    Raises:
        FormatError: it is none.
    """
    if not path.is_file():
        return {}
    try:
        found = read_json_bytes(read_small(path, most), str(path))
    except OSError as error:
        raise FormatError(f"{path}: expected a file that can be read, got {error.strerror}") from error
    if not isinstance(found, dict):
        raise FormatError(f"{path}: expected a table, got {type(found).__name__}")
    return found


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    """One line of Markdown, without what a terminal would obey."""
    return printable(value or "").replace("|", "/").replace("`", "'")


def _base(value: Any) -> str:
    """A file's name without its folders, of whichever system."""
    return PurePath(_text(value).replace("\\", "/")).name


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "–"

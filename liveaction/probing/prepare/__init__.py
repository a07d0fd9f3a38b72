"""Makes items of what lies in a folder: deterministic, from a seed, once."""

import difflib
import importlib
import json
from pathlib import Path

from liveaction.errors import UnknownNameError
from liveaction.files import atomic_path

PREPARATIONS = ("cells", "directions", "grey_pictures", "level", "lines", "mixtures", "spectra")
"""Modules here; each has a function ``make``, and ``ABOUT``, which tells one version of it from another."""


def prepare(name: str, source: Path, out: Path) -> Path:
    """The folder of prepared items, below ``out``; what is there is not made again.

    Raises:
        UnknownNameError: there is no such preparation.
        FormatError: the source does not hold what it needs.
        MissingDependencyError: it needs a package that is not installed.
    """
    if name not in PREPARATIONS:
        close = difflib.get_close_matches(name, PREPARATIONS) or sorted(PREPARATIONS)
        raise UnknownNameError(
            f"items.prepare: expected one of {sorted(PREPARATIONS)}, got {name!r}; did you mean {close[0]}?"
        )
    module = importlib.import_module(f"liveaction.probing.prepare.{name}")
    folder, about = out / name, {"name": name, "about": module.ABOUT, "source": str(source.resolve())}
    made = folder / ".made.json"
    if made.is_file() and made.read_text() == json.dumps(about) + "\n":
        return folder
    out.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder) as part:
        part.mkdir()
        module.make(source, part)
        (part / made.name).write_text(json.dumps(about) + "\n")
    return folder

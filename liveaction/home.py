"""A home for models: which are known on this machine, by name, by digest, and by modality. Nothing here imports torch.

Known models are model directories, in this order: those of the package (``liveaction/bundled/NAME/``), those in
``home()/models/``, and the folders on ``LIVEACTION_MODELS``, each a model directory or a folder of such.
"""

import importlib.resources
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liveaction.errors import FormatError, LiveactionError, SpecError, UnknownNameError
from liveaction.files import read_small
from liveaction.model_folder import CONFIG, ENCODER, MIXING, PACKED, TABLES, WEIGHTS, read_config
from liveaction.strict_json import read_json_bytes

BUNDLED, HOME, ELSEWHERE = "bundled", "home", "LIVEACTION_MODELS"
ABOUT, CARD = "about.json", "README.md"
FILES = (CONFIG, WEIGHTS, ENCODER, TABLES, TABLES + PACKED, MIXING, MIXING + PACKED, ABOUT, CARD)
"""What a model consists of; a folder of a training holds more."""

LEAST_DIGITS = 8
"""Of a digest that names a model."""

WAYS = "pass --model DIR, put it on LIVEACTION_MODELS, or `liveaction models add DIR`"
LONGEST_ABOUT = 1 << 16


@dataclass(frozen=True)
class KnownModel:
    """A model directory as its ``config.json`` describes it; weights are not looked at.

    Attributes:
        name: of its folder.
        folder: the model directory.
        digest: of weights and recipe, 64 hex digits.
        recipe: its name.
        description: the recipe's.
        modality: its name.
        bytes: of the model's files.
        origin: ``bundled``, ``home`` or ``LIVEACTION_MODELS``.
        default_for: modalities whose files it is taken for, where its ``about.json`` says so.
    """

    name: str
    folder: Path
    digest: str
    recipe: str
    description: str
    modality: str
    bytes: int
    origin: str
    default_for: tuple[str, ...] = ()


@dataclass(frozen=True)
class Damaged:
    """A folder that should be a model: its name, place and origin, and what is wrong with it."""

    name: str
    folder: Path
    origin: str
    fault: str


def home() -> Path:
    """``LIVEACTION_HOME``, else ``~/.local/share/liveaction``."""
    return Path(os.environ.get("LIVEACTION_HOME") or Path.home() / ".local" / "share" / "liveaction")


def bundled_folder() -> Path | None:
    """Where the models of the package lie; None where it is installed as no folder, and has none."""
    folder = importlib.resources.files("liveaction.bundled")
    return folder if isinstance(folder, Path) else None


def known_models() -> list[KnownModel]:
    """The models that are known here, in the order in which they are searched; damaged ones are left out.

    Example:
        >>> "ct" in [model.name for model in known_models()]
        True
    """
    return look_around()[0]


def look_around() -> tuple[list[KnownModel], list[Damaged]]:
    """All known models, and what should be one and is not, by its fault."""
    found, damaged = list[KnownModel](), list[Damaged]()
    for folder, origin in _folders():
        try:
            found.append(read_known(folder, origin))
        except (LiveactionError, OSError) as error:
            damaged.append(Damaged(folder.name, folder, origin, str(error)))
    return found, damaged


def read_known(folder: Path, origin: str = "") -> KnownModel:
    """A model directory by its ``config.json`` and ``about.json``.

    Raises:
        FormatError: one of them is damaged, or there is no ``config.json``.
        OSError: the folder cannot be read.
    """
    config = read_config(folder / CONFIG)
    recipe, digest = config["recipe"], config["digest"]
    modality = recipe.get("modality")
    texts = [recipe.get("name"), recipe.get("description", ""), modality.get("name") if _is_table(modality) else None]
    if not all(isinstance(text, str) for text in texts) or not re.fullmatch("[0-9a-f]{64}", digest):
        raise FormatError(f"{folder / CONFIG}: expected a digest, and a recipe with name and modality, got others")
    size = sum((folder / name).stat().st_size for name in FILES if (folder / name).is_file())
    name, about, kind = map(str, texts)
    return KnownModel(folder.name, folder, digest, name, about, kind, size, origin, _default_for(folder / ABOUT))


def find_models(digest: str) -> list[KnownModel]:
    """Known models whose digest begins so; none for fewer than 8 digits."""
    return [model for model in known_models() if len(digest) >= LEAST_DIGITS and model.digest.startswith(digest)]


def find_model(digest: str, where: str = "") -> Path:
    """The first known model whose digest begins so.

    Args:
        digest: 8 to 64 hex digits.
        where: stands first in the message.

    Raises:
        UnknownNameError: none has it; says where was searched, and how to get it.
    """
    found = find_models(digest)
    if not found:
        raise no_model(digest, where)
    return found[0].folder


def no_model(digest: str, where: str = "") -> UnknownNameError:
    """The error for weights that no known model has: it says where was searched, and how to get one."""
    return UnknownNameError(
        f"{where or 'models'}: expected a known model of weights {digest[:12]}, got none among {searched()}; {WAYS}"
    )


def resolve_model(model: str | Path) -> Path:
    """What ``--model`` names: an existing folder, else a known model by its name, or 8 digits or more of its digest.

    Raises:
        UnknownNameError: there is neither.
        SpecError: several models have that name or digest.
    """
    text = str(model)
    if Path(model).is_dir() or Path(text).name != text or text in ("", ".", ".."):
        return Path(model)  # where there is none, reading it says so
    found = [known for known in known_models() if known.name == text]
    if not found and re.fullmatch("[0-9a-f]{8,64}", text):
        found = find_models(text)
    if not found:
        raise UnknownNameError(
            f"{text}: expected a model directory with a readable {CONFIG}, or the name or digest of a known model, got "
            f"neither; known are {_names(known_models())}"
        )
    _refuse_several(found, f"--model {text}", "a name or digest of one model")
    return found[0].folder


def default_model(modality: str, where: str, why: str = "") -> KnownModel:
    """The model to take for files of a modality: a default of one's own, else the package's, else the only known one.

    Args:
        modality: its name.
        where: stands first in messages, such as the file.
        why: what the modality was told by.

    Raises:
        UnknownNameError: none is known.
        SpecError: several are, and none or more than one of them is the default.
    """
    known = known_models()
    fitting = [model for model in known if model.modality == modality]
    defaults = [model for model in known if modality in model.default_for]
    found = [model for model in defaults if model.origin != BUNDLED] or defaults or fitting
    taken = f"{modality} ({why})" if why else modality
    if not found:
        raise UnknownNameError(
            f"{where}: expected a known model for {taken}, got none among {searched()}, which hold "
            f"{_names(known)}; {WAYS}"
        )
    _refuse_several(found, where, f"one known model for {taken}")
    return found[0]


def choose_by_hand(where: str, got: str) -> SpecError:
    """The error for a file of which nobody can say what it holds: it lists the models to choose from."""
    known = known_models()
    return SpecError(f"{where}: expected --model for {got}, got none; known are {_names(known)}")


def searched() -> str:
    """Where known models are looked for, in words."""
    listed = os.environ.get(ELSEWHERE)
    return f"bundled models, {home() / 'models'} and {ELSEWHERE} ({listed or 'not set'})"


def home_folder(name: str) -> Path:
    """Where a model of the home lies, whether it is there or not.

    Raises:
        SpecError: no name that a folder of a model may have.
    """
    if Path(name).name != name or name.startswith((".", "-")) or re.search(r"[^\w.+-]", name):
        raise SpecError(f"--name: expected letters, digits, dots, dashes and underscores, got {name!r}")
    return home() / "models" / name


def named_models(name: str) -> list[KnownModel | Damaged]:
    """Known models of a name, and damaged ones."""
    known, damaged = look_around()
    every: list[KnownModel | Damaged] = [*known, *damaged]
    return [model for model in every if model.name == name]


def in_home(name: str) -> Path:
    """The folder of a model of the home, damaged or not.

    Raises:
        UnknownNameError: there is none of that name.
        SpecError: it lies elsewhere, such as in the package.
    """
    folder = home_folder(name)
    if folder.is_dir():
        return folder
    for other in named_models(name):
        raise SpecError(f"{name}: expected a model in {home() / 'models'}, got a {other.origin} one, {other.folder}")
    raise UnknownNameError(f"{name}: expected a model in {home() / 'models'}, got none; `liveaction models` lists them")


def _folders() -> Iterator[tuple[Path, str]]:
    """Folders of models in the order of the search, each once."""
    seen: set[Path] = set()
    bundled = bundled_folder()
    places = [] if bundled is None else [(bundled, BUNDLED)]
    places += [(home() / "models", HOME)]
    places += [(Path(text), ELSEWHERE) for text in os.environ.get(ELSEWHERE, "").split(os.pathsep) if text]
    for place, origin in places:
        for folder in [place] if (place / CONFIG).is_file() else _below(place):
            if folder.resolve() not in seen:
                seen.add(folder.resolve())
                yield folder, origin


def _below(place: Path) -> list[Path]:
    """Folders with a ``config.json``, sorted; hidden ones are left out."""
    try:
        return sorted(path for path in place.iterdir() if path.name[0] not in "._" and os.path.lexists(path / CONFIG))
    except OSError:
        return []


def _default_for(path: Path) -> tuple[str, ...]:
    """What an ``about.json`` says; nothing where there is none.

    Raises:
        FormatError: it is damaged.
    """
    if not os.path.lexists(path):
        return ()
    about = read_json_bytes(read_small(path, LONGEST_ABOUT), str(path), "a JSON object")
    named = about.get("default_for", []) if _is_table(about) else None
    if not isinstance(named, list) or not all(isinstance(text, str) for text in named):
        raise FormatError(f"{path}: expected an object whose default_for is a list of modalities, got another")
    return tuple(named)


def _is_table(data: Any) -> bool:
    return isinstance(data, dict)


def _refuse_several(found: list[KnownModel], where: str, expected: str) -> None:
    if len({model.digest for model in found}) > 1:
        listed = ", ".join(f"{model.folder} ({model.digest[:12]})" for model in found)
        raise SpecError(f"{where}: expected {expected}, got {listed}; name one with --model DIR, or by its digest")


def _names(models: list[KnownModel]) -> str:
    names = dict.fromkeys(f"{model.name} ({model.modality})" for model in models)
    return ", ".join(names) or "none"

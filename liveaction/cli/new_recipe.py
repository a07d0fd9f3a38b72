"""A commented recipe to start from: the function behind ``liveaction new``."""

import difflib
import re
from pathlib import Path

from liveaction.codec.summary import summarise
from liveaction.errors import SpecError, UnknownNameError
from liveaction.files import atomic_path
from liveaction.outputs import check_outputs
from liveaction.recipe import load_plain, load_recipe, parse_recipe, recipe_names, recipe_text
from liveaction.registry import build_modality, modality_class, modality_names

_NAME = re.compile(r"[A-Za-z0-9_.-]+")  # as Recipe.name has it


def write_recipe(
    name: str, like: str, data: Path | None = None, key: str | None = None, force: bool = False, folder: Path = Path()
) -> Path:
    """Write ``NAME.yaml`` into ``folder``; atomic, and only if the recipe stands every check.

    Args:
        name: of the recipe; letters, digits, ``_``, ``.`` and ``-``.
        like: a shipped recipe, a YAML file, or a modality.
        data: a file to fill the recipe in from, for modalities that can (``array``).
        key: which array of several in ``data``.
        force: take the place of an existing file.

    Returns:
        The file.

    Raises:
        SpecError: a bad name, an existing file, or ``data`` where nothing can be filled in.
        UnknownNameError: no recipe or modality of that name.
        FormatError: ``data`` cannot be read.
    """
    name = name.removesuffix(".yaml")
    if not _NAME.fullmatch(name) or not name.strip("."):
        raise SpecError(f"NAME: expected letters, digits, '_', '.' and '-', got {name!r}; choose another name")
    path = folder / f"{name}.yaml"
    if path.exists() and not force:
        raise SpecError(f"{path}: expected a new file, got an existing one; add --force to overwrite it")
    check_outputs({str(path): path}, {"--like": None if like in recipe_names() else Path(like), "--data": data})
    if key is not None and data is None:
        raise SpecError("--key: expected --data with it, got none; add the file")
    text = _text(name, like, data, key)
    recipe = parse_recipe(load_plain(text, str(path), "a recipe"), str(path))
    build_modality(recipe.modality)
    summarise(recipe)
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")
    return path


def _text(name: str, like: str, data: Path | None, key: str | None) -> str:
    if like not in recipe_names() and like in modality_names():
        try:
            text: str = modality_class(like).recipe_text(name, data, key)
            return text
        except NotImplementedError:
            like = _shipped(like)
    elif like not in recipe_names() and not like.endswith((".yaml", ".yml")):
        known = [*recipe_names(), *modality_names()]
        close = difflib.get_close_matches(like, known) or known
        raise UnknownNameError(
            f"--like: expected a shipped recipe, a .yaml file or a modality, got {like!r}; did you mean "
            f"{', '.join(close)}?"
        )
    if data is not None:
        raise SpecError(
            f"--data: expected --like array, got --like {like}, whose axes and range are fixed; leave it out"
        )
    renamed, count = re.subn(r"(?m)^name:.*$", f"name: {name}", recipe_text(like), count=1)
    if not count:
        raise SpecError(f"{like}: expected a recipe with a line 'name: ...', got none; add one")
    return renamed


def _shipped(modality: str) -> str:
    """The shipped recipe to begin with: one without a network, else a light one, else any that is no published one."""
    fits = [name for name in recipe_names() if load_recipe(name).modality.name == modality]
    ends = (("_sparse", "_own"), "_light", "_smoke")
    order = sorted(fits, key=lambda name: (name.startswith("paper_"), *(not name.endswith(end) for end in ends), name))
    if not order:
        raise UnknownNameError(
            f"--like: expected a modality that a shipped recipe has, got {modality!r}, which has none; take a recipe "
            "or a .yaml file"
        )
    return order[0]

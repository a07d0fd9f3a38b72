"""YAML to Recipe and back: shipped recipes by name, ``a.b=v`` overrides."""

import difflib
import importlib.resources
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from liveaction.errors import SpecError, UnknownNameError, printable
from liveaction.spec import MOST_ENTRIES, Recipe, broken_rule, refuse_programs, short

T = TypeVar("T", bound=BaseModel)

LONGEST, MOST_KEYS, MOST_BITS = 1 << 20, 4096, 1024
"""Bytes of a recipe's file; keys of a table; bits of a whole number."""


def recipe_names() -> list[str]:
    """Names of the shipped recipes, sorted.

    Example:
        >>> "ct_light" in recipe_names()
        True
    """
    return shipped_names("liveaction.configs")


def shipped_names(package: str) -> list[str]:
    """Names of the YAML files of a package, sorted."""
    folder = importlib.resources.files(package)
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))


def load_protocol_table(source: str, package: str, model: type[T]) -> T:
    """A protocol by its name in a package, or as a YAML file.

    Raises:
        UnknownNameError: no shipped protocol has that name.
        SpecError: the file cannot be read, or breaks a rule; names file, table and key.
    """
    if Path(source).suffix in {".yaml", ".yml"} or "/" in source:
        text = read_text(Path(source), "a readable protocol file")
    elif source in (names := shipped_names(package)):
        text = importlib.resources.files(package).joinpath(f"{source}.yaml").read_text()
    else:
        close = difflib.get_close_matches(source, names) or names
        raise UnknownNameError(
            f"--protocol: expected a shipped protocol or a .yaml file, got {source!r}; did you mean {', '.join(close)}?"
        )
    data = load_plain(text, source, "a protocol's tables")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise SpecError(f"{source}{explain(error, model)}") from error


def load_recipe(source: str | Path, overrides: Iterable[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        source: name of a shipped recipe, path of a YAML file (anything with a suffix or a slash), or a model directory.
        overrides: ``"codec.levels=3"`` texts; the value is read as YAML.

    Raises:
        UnknownNameError: no shipped recipe has that name.
        SpecError: the file cannot be read, or breaks a rule; names file, table and key.

    Example:
        >>> load_recipe("ct_light", ["codec.latent_channels=16"]).codec.latent_channels
        16
    """
    where, text = _text(str(source))
    data = load_plain(text, where, "tables modality, codec and training")
    if Path(source).is_dir():
        inner = data.get("recipe")
        if not isinstance(inner, dict):
            raise SpecError(f"{where}: expected the configuration of a model with its recipe, got none")
        data = inner
    for override in overrides:
        _override(data, override)
    return parse_recipe(data, where)


def load_plain(text: str, where: str, expected: str) -> dict[str, Any]:
    """YAML that is data alone, with no key twice; ``where`` and ``expected`` word the error.

    Raises:
        SpecError: not such YAML, or no table.
    """
    data = _plain(text, f"{where}: expected YAML")
    if not isinstance(data, dict):
        raise SpecError(f"{where}: expected {expected}, got {type(data).__name__}")
    try:
        refuse_programs(data)
    except ValueError as error:
        raise SpecError(f"{where}: {error}") from error
    return data


def read_text(path: Path, expected: str) -> str:
    """A file of YAML as text, with plain line ends.

    Raises:
        SpecError: it cannot be read, is no file, has more than :data:`LONGEST` bytes, or is not UTF-8.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise OSError("no regular file")
        with path.open("rb") as file:
            data = file.read(LONGEST + 1)
        if len(data) > LONGEST:
            raise OSError(f"more than {LONGEST} bytes")
        return data.decode("utf-8").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: expected {expected}, got {_one_line(error)}") from error


def recipe_text(source: str | Path) -> str:
    """The YAML of a shipped recipe or a file, comments included.

    Raises:
        UnknownNameError: no shipped recipe has that name.
        SpecError: the file cannot be read.
    """
    return _text(str(source))[1]


def parse_recipe(data: dict[str, Any], where: str) -> Recipe:
    """Validate plain data as a recipe; ``where`` stands first in the error."""
    try:
        refuse_programs(data)
    except ValueError as error:
        raise SpecError(f"{where}: {error}") from error
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        raise SpecError(f"{where}{explain(error, Recipe)}") from error


def dump_recipe(recipe: Recipe) -> dict[str, Any]:
    """Plain JSON data that :func:`parse_recipe` reads back to an equal recipe."""
    return recipe.model_dump(mode="json")


def _plain(text: str, expected: str) -> Any:
    """The one document of a YAML text; ``expected`` begins the error."""
    try:
        return _Loader(text).get_single_data()
    except (yaml.YAMLError, RecursionError) as error:
        raise SpecError(f"{expected}, got {_one_line(error)}") from error
    except (ValueError, LookupError) as error:
        raise SpecError(f"{expected}, got a value that is not what its tag says: {_one_line(error)}") from error


class _Loader(yaml.SafeLoader):
    """Plain data only, and no key twice. Dates are text."""

    nodes = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """A node; refuses one too many before the rest is looked at."""
        self.nodes += 1
        if self.nodes > MOST_ENTRIES:
            raise yaml.composer.ComposerError(None, None, f"more than {MOST_ENTRIES} entries")
        return super().compose_node(parent, index)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """A whole number; refuses one that is too long to be written out."""
        try:
            value: int = super().construct_yaml_int(node)
        except (ValueError, LookupError):
            value = 1 << MOST_BITS
        if value.bit_length() > MOST_BITS:
            raise yaml.constructor.ConstructorError(
                None,
                None,
                f"{short(node.value)}, which is no whole number of at most {MOST_BITS} bits",
                node.start_mark,
            )
        return value

    def construct_undefined(self, node: yaml.Node) -> Any:
        """A tag such as ``!!python/name`` asks for an object; a recipe is plain data."""
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        raise yaml.constructor.ConstructorError(
            None, None, f"the tag {tag!r}, which asks for more than plain data; remove it", node.start_mark
        )

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A table; refuses a key that stands twice."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if len(keys) > MOST_KEYS:
            raise yaml.constructor.ConstructorError(None, None, f"{len(keys)} keys in one table", node.start_mark)
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} twice in one table", node.start_mark
                )
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_constructor(None, _Loader.construct_undefined)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
for _tag in ("binary", "timestamp", "omap", "pairs", "set"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _Loader.construct_undefined)


def _text(source: str) -> tuple[str, str]:
    path = Path(source)
    if path.is_dir():
        # JSON is YAML
        path = path / "config.json"
        source = str(path)
    if path.suffix in {".yaml", ".yml"} or "/" in source or path.is_file():
        return source, read_text(path, "a readable recipe file")
    if source not in recipe_names():
        close = difflib.get_close_matches(source, recipe_names()) or recipe_names()
        raise UnknownNameError(
            f"recipe: expected a shipped recipe or a .yaml file, got {source!r}; did you mean {', '.join(close)}?"
        )
    return f"{source}.yaml", importlib.resources.files("liveaction.configs").joinpath(f"{source}.yaml").read_text()


def _override(data: dict[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise SpecError(f"--set: expected table.key=value, got {short(text)}")
    table = data
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise SpecError(f"--set {text[:200]}: expected {part!r} to be a table")
    table[parts[-1]] = _plain(value, f"--set {text[:200]}: expected a YAML value")


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first rule of ``model`` that is broken, as ``[table] key: what was expected, what came``.

    A key that is not known comes first: it may be the reason why another is missing.
    """
    broken = error.errors()
    first = next((each for each in broken if each["type"] == "extra_forbidden"), broken[0])
    path = [printable(part) for part in first["loc"] if not str(part).startswith(("tuple[", "constrained-"))]
    table = f" [{'.'.join(path[:-1])}]" if len(path) > 1 else ""
    key = f" {path[-1]}" if path else ""
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        known = _keys(model, path[:-1])
        close = difflib.get_close_matches(path[-1], known) or known
        return f"{table}{key}: expected a known key, got {short(path[-1])}; did you mean {', '.join(close)}?{more}"
    name = "" if any(part.isdigit() for part in path) else ".".join(path)
    return f"{table}{key}: {broken_rule(first, name)}{more}"


def _keys(model: Any, path: list[str]) -> list[str]:
    """The keys of a table; of tables by name (``codecs.light``) those of any."""
    for part in path:
        if hasattr(model, "model_fields"):
            model = model.model_fields[part].annotation
        else:
            model = next(kind for kind in reversed(get_args(model)) if hasattr(kind, "model_fields"))
    return sorted(model.model_fields)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())

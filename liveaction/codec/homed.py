"""The model that a stream needs, among those that are known here; and models that are put into the home."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from liveaction.codec.header import StreamHeader, parse_header
from liveaction.codec.names import item_at
from liveaction.coding.container import ContainerReader
from liveaction.coding.source import Source, StreamData
from liveaction.errors import LiveactionError, SpecError
from liveaction.files import atomic_path, read_small, write_errors
from liveaction.home import (
    ABOUT,
    ELSEWHERE,
    FILES,
    HOME,
    LONGEST_ABOUT,
    KnownModel,
    find_models,
    home_folder,
    named_models,
    no_model,
    read_known,
)
from liveaction.model_folder import MIXING, PACKED, TABLES, content_digest
from liveaction.strict_json import read_json_bytes

if TYPE_CHECKING:
    from liveaction.codec.codec import Codec


def header_of(data: StreamData) -> StreamHeader:
    """The header of a stream, of several items that of the first; nothing is decoded, and torch is not imported.

    Raises:
        FormatError: it cannot be read, or is no stream.
    """
    where = str(data) if isinstance(data, str | Path) else "stream"
    with Source(Path(data) if isinstance(data, str) else data) as source:
        item = item_at(ContainerReader(source, where), 0, where)
        return parse_header(item.header, item.chunks, where, max_voxels=2**63)


def model_for(data: StreamData) -> Path:
    """The folder of the known model that a stream was made with; see :func:`known_for`."""
    return known_for(data).folder


def known_for(data: StreamData) -> KnownModel:
    """The known model that a stream was made with, by the digests in its header.

    Of several with these weights, whose tables differ, the one with the stream's.

    Raises:
        FormatError: it cannot be read, or is no stream.
        UnknownNameError: no known model has these weights.
    """
    where = str(data) if isinstance(data, str | Path) else "stream"
    header = header_of(data)
    found = find_models(header.weights)
    if len({_coding(model) for model in found}) > 1:
        for model in found:
            if _has_tables(model, header):
                return model
    if not found:
        raise no_model(header.weights, where)
    return found[0]


def add_model(folder: Path, name: str = "", default: bool = False) -> tuple[KnownModel, bool]:
    """Copy a model into the home, whole or not at all, once it has been loaded and its digest was right.

    Args:
        folder: a model directory; what else it holds, such as checkpoints, stays there.
        name: of the copy; the folder's where empty.
        default: take it for files of its modality from now on, unless another one in the home is taken for them; what
            its own ``about.json`` says of that does not count.

    Returns:
        The copy, and whether it was made now: an equal one that is there already stays.

    Raises:
        FormatError, IntegrityError: no whole model directory.
        SpecError: another model has this name.
        WriteError: the home cannot be written to.
    """
    from liveaction.codec.weights import read_model

    name = name or folder.resolve().name
    target = home_folder(name)
    for other in named_models(name):
        elsewhere = other.folder != target and other.folder.resolve() != folder.resolve()
        if elsewhere and other.origin != ELSEWHERE and not _equal(folder, other.folder):
            raise SpecError(f"{name}: expected a name of its own, got that of {other.folder}; take another with --name")
    if target.exists():
        if _equal(folder, target):
            return _as_default(target, default), False
        raise SpecError(
            f"{name}: expected a new name, got that of another model in {target}; take another with --name, or "
            f"`liveaction models remove {name} --force` first"
        )
    read_model(folder)
    read_known(folder)
    with write_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as part:
        part.mkdir()
        for file in FILES:
            if (folder / file).is_file():
                shutil.copyfile(folder / file, part / file)
        write_defaults(part, [])
    return _as_default(target, default), True


def _as_default(folder: Path, default: bool) -> KnownModel:
    """A model of the home, which from now on is the default of its modality where that is asked for."""
    model = read_known(folder, HOME)
    if not default or model.modality in model.default_for:
        return model
    write_defaults(folder, [*model.default_for, model.modality])
    return read_known(folder, HOME)


def write_defaults(folder: Path, kinds: list[str]) -> None:
    """Say in ``about.json`` of what a model is the default."""
    path = folder / ABOUT
    about = read_json_bytes(read_small(path, LONGEST_ABOUT), str(path)) if path.is_file() else {}
    if about.get("default_for", []) == kinds:
        return
    with atomic_path(path) as part:
        part.write_text(json.dumps(about | {"default_for": kinds}, indent=1) + "\n")


def _equal(one: Path, two: Path) -> bool:
    """Whether two folders hold the same model, byte for byte, whatever they are the default of."""
    files = [_files(folder) for folder in (one, two)]
    return all(files[0].get(name) == files[1].get(name) for name in FILES if name != ABOUT)


def _files(folder: Path) -> dict[str, str]:
    """sha256 of what files hold, by their names without :data:`PACKED`."""
    found = [name for name in FILES if (folder / name).is_file()]
    return {name.removesuffix(PACKED): content_digest(folder / name) for name in found}


def _coding(model: KnownModel) -> tuple[str, ...]:
    """What tells apart models of the same weights, whose entropy tables were fitted anew."""
    files = _files(model.folder)
    return tuple(files.get(name, "") for name in (TABLES, MIXING))


def _has_tables(model: KnownModel, header: StreamHeader) -> bool:
    """Whether a model's tables are those that a stream was coded with; one that cannot be loaded has others."""
    from liveaction.codec.weights import read_model

    try:
        codec: Codec = read_model(model.folder)[0]
        return codec.coding_digest(header.coder).startswith(header.tables)
    except (LiveactionError, OSError):
        return False

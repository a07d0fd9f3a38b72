"""The model directory: ``config.json`` and ``model``, ``encoder``, ``entropy`` and ``mixing.safetensors``.

No pickle anywhere. The digest names weights and recipe's codec and modality tables together; a stream carries it, so
that other weights are refused before anything is decoded.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import torch

from liveaction.codec.codec import Codec, build_codec
from liveaction.codec.coder_state import load_mixing, save_mixing
from liveaction.codec.device import choose_dtype
from liveaction.codec.tensors import UNREADABLE, Wanted, read_tensors, save_arrays, save_tensors
from liveaction.coding.table_checks import table_shapes
from liveaction.coding.tables import EntropyTables
from liveaction.errors import FormatError, IntegrityError, LiveactionError
from liveaction.files import atomic_path, require_regular
from liveaction.model_folder import CONFIG, ENCODER, FORMAT, PACKED, TABLES, WEIGHTS, read_config, stored
from liveaction.nn.band_rotation import BandRotation
from liveaction.recipe import dump_recipe, parse_recipe
from liveaction.spec import Recipe

_SENSOR = re.compile(r"(others\.\d+\.)?(encoder|quantizer|predictor)\.")


def weights_digest(codec: Codec, tables: dict[str, Any]) -> str:
    """sha256 over the recipe's codec and modality tables as stored and every tensor's name, shape and bytes.

    The tables are plain data: of a model on disk those that its ``config.json`` holds, not what this version would
    write, which may know more settings. 64 hex digits.
    """
    digest = hashlib.sha256(json.dumps([tables["modality"], tables["codec"]], sort_keys=True).encode())
    for name, tensor in sorted(codec.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save_model(codec: Codec, recipe: Recipe, folder: str | Path) -> str:
    """Write a model directory; each file appears whole or not at all, ``config.json`` last.

    Returns:
        The digest.

    Example:
        >>> import liveaction
        >>> model = liveaction.load("runs/ct")
        >>> save_model(model.codec, model.recipe, "runs/copy") == model.digest
        True
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in codec.state_dict().items()}
    sensor = {name: tensor for name, tensor in state.items() if _SENSOR.match(name)}
    tables = dump_recipe(recipe)
    digest = weights_digest(codec, tables)
    save_tensors(state, folder / WEIGHTS)
    save_tensors(sensor, folder / ENCODER)
    save_tables(codec, folder)
    write_json({"format": FORMAT, "digest": digest, "recipe": tables}, folder / CONFIG)
    return digest


def read_model(folder: Path, device: str = "cpu", dtype: str = "", tables: bool = True) -> tuple[Codec, Recipe, str]:
    """The parts of a model directory; :func:`liveaction.codec.model.load` makes one model of them.

    Args:
        folder: as training leaves it.
        device: torch's name of one.
        dtype: as for :func:`liveaction.codec.device.choose_dtype`.
        tables: read the entropy tables, too; without, the codec has those that need no data.

    Returns:
        The codec in evaluation mode on ``device``, its recipe, its digest.

    Raises:
        FormatError: not a model directory, or of a format this version does not know.
        IntegrityError: the weights are not the ones that ``config.json`` was written with.
    """
    config = read_config(folder / CONFIG)
    recipe = parse_recipe(config["recipe"], str(folder / CONFIG))
    try:
        wanted = _wanted(recipe, folder / WEIGHTS)
        state = read_tensors(folder / WEIGHTS, wanted, f"the weights of recipe {recipe.name!r}")
        codec = build_codec(recipe)
        codec.load_state_dict(state)
        for part in codec.modules():
            if isinstance(part, BandRotation):
                part.check(str(folder / WEIGHTS))
    except LiveactionError:
        raise
    except UNREADABLE as error:
        line = " ".join(str(error).split())[:200]
        raise FormatError(f"{folder / WEIGHTS}: expected the weights of recipe {recipe.name!r}, got {line}") from error
    digest = weights_digest(codec, config["recipe"])
    if digest != config["digest"]:
        raise IntegrityError(
            f"{folder / WEIGHTS}: expected weights {config['digest'][:12]}, got {digest[:12]}; "
            "the file was changed after it was saved, take the original"
        )
    if tables:
        load_tables(codec, folder, recipe.name)
    codec.requires_grad_(False)
    codec.compute_dtype = choose_dtype(dtype, recipe)
    return codec.eval().to(device), recipe, digest


def save_tables(codec: Codec, folder: Path) -> None:
    """Write the entropy tables of a model directory, and what the coder ``small`` starts from, each atomically."""
    arrays: dict[str, Any] = {}
    for prefix, tables in _named_tables(codec).items():
        arrays |= {prefix + name: array for name, array in tables.arrays().items()}
    save_arrays(arrays, folder / TABLES)
    (folder / (TABLES + PACKED)).unlink(missing_ok=True)
    save_mixing(codec, folder)


def load_tables(codec: Codec, folder: Path, name: str) -> None:
    """Give a codec the entropy tables of a model directory.

    Args:
        codec: of the recipe ``name``.
        folder: of the model.

    Raises:
        FormatError: they are not there, or not such tables, or those of another recipe.
    """
    path, way = stored(folder / TABLES), f"liveaction freeze {folder} makes them"
    named = _named_tables(codec)
    expected = f"tables of {codec.latents} latent channels and {codec.axes} axes as recipe {name!r} has"
    try:
        wanted = {
            prefix + key: value
            for prefix, tables in named.items()
            for key, value in table_shapes(tables.channels, codec.axes, tables.outer).items()
        }
        found = {key: tensor.numpy().copy() for key, tensor in read_tensors(path, wanted, expected).items()}
        read = {}
        for prefix, tables in named.items():
            own = table_shapes(tables.channels, codec.axes, tables.outer)
            read[prefix] = EntropyTables.from_arrays({key: found[prefix + key] for key in own}, str(path))
    except LiveactionError as error:
        raise type(error)(f"{error}; {way}") from error
    except UNREADABLE as error:
        line = " ".join(str(error).split())[:200]
        raise FormatError(f"{path}: expected entropy tables, got {line}; {way}") from error
    for number, tree in enumerate(codec.trees):
        tree.tables = tuple(read[_prefix(number, part)] for part in range(len(tree.tables)))
    load_mixing(codec, folder)


def _prefix(tree: int, part: int) -> str:
    """Before the names of the tables of a tree's part; the first of all has none."""
    return f"{tree}.{part}." if tree or part else ""


def _named_tables(codec: Codec) -> dict[str, EntropyTables]:
    return {
        _prefix(number, part): tables
        for number, tree in enumerate(codec.trees)
        for part, tables in enumerate(tree.tables)
    }


def tensors_of(recipe: Recipe) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Names, dtypes and shapes of the weights of a recipe's codec; no memory is taken for them."""
    with torch.device("meta"):
        state = build_codec(recipe).state_dict()
    return {name: (str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)) for name, tensor in state.items()}


def _wanted(recipe: Recipe, path: Path) -> Wanted:
    """Before anything is built: every channel has a weight of its own at least, so its file is as large."""
    require_regular(path)
    size = path.stat().st_size
    if recipe.hidden > size:
        raise FormatError(
            f"{path}: expected the weights of recipe {recipe.name!r}, {recipe.hidden} channels wide, got {size} bytes"
        )
    return tensors_of(recipe)


def write_json(data: Any, path: Path) -> None:
    """Write readable JSON, atomically."""
    with atomic_path(path, follow=False) as part:
        part.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")

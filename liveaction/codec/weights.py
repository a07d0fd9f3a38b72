"""The model directory: ``config.json``, ``model.safetensors``, ``encoder.safetensors``, ``entropy.safetensors``.

No pickle anywhere. The digest names weights and recipe's codec and modality tables together; a stream carries it, so
that other weights are refused before anything is decoded.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file

from liveaction.codec.codec import Codec, build_codec
from liveaction.codec.device import choose_dtype
from liveaction.coding.tables import EntropyTables
from liveaction.errors import FormatError, IntegrityError, LiveactionError
from liveaction.files import atomic_path
from liveaction.recipe import dump_recipe, parse_recipe
from liveaction.spec import Recipe

CONFIG, WEIGHTS, ENCODER = "config.json", "model.safetensors", "encoder.safetensors"
TABLES = "entropy.safetensors"
FORMAT = 1
LONGEST_CONFIG = 1 << 24
_UNREADABLE = (OSError, SafetensorError, RuntimeError, ValueError, TypeError, LookupError, AttributeError, MemoryError)


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
    sensor = {name: tensor for name, tensor in state.items() if name.startswith(("encoder.", "quantizer."))}
    tables = dump_recipe(recipe)
    digest = weights_digest(codec, tables)
    save_tensors(state, folder / WEIGHTS)
    save_tensors(sensor, folder / ENCODER)
    save_tables(codec.tables, folder)
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
    config = _read_config(folder / CONFIG)
    recipe = parse_recipe(config["recipe"], str(folder / CONFIG))
    try:
        _check_room(recipe, folder / WEIGHTS)
        codec = build_codec(recipe)
        codec.load_state_dict(load_file(folder / WEIGHTS))
    except LiveactionError:
        raise
    except _UNREADABLE as error:
        line = " ".join(str(error).split())[:200]
        raise FormatError(f"{folder / WEIGHTS}: expected the weights of recipe {recipe.name!r}, got {line}") from error
    digest = weights_digest(codec, config["recipe"])
    if digest != config["digest"]:
        raise IntegrityError(
            f"{folder / WEIGHTS}: expected weights {config['digest'][:12]}, got {digest[:12]}; "
            "the file was changed after it was saved, take the original"
        )
    if tables:
        codec.tables = load_tables(folder)
        found, wanted = (codec.tables.channels, codec.tables.axes), (recipe.codec.latent_channels, recipe.axes)
        if found != wanted:
            raise FormatError(
                f"{folder / TABLES}: expected tables of {wanted[0]} latent channels and {wanted[1]} axes as recipe "
                f"{recipe.name!r} has, got {found[0]} and {found[1]}; liveaction freeze {folder} makes them"
            )
    codec.requires_grad_(False)
    codec.compute_dtype = choose_dtype(dtype, recipe)
    return codec.eval().to(device), recipe, digest


def save_tables(tables: EntropyTables, folder: Path) -> None:
    """Write the entropy tables of a model directory, atomically."""
    _save(save_arrays, tables.arrays(), folder / TABLES)


def load_tables(folder: Path) -> EntropyTables:
    """The entropy tables of a model directory.

    Raises:
        FormatError: they are not there, or not such tables.
    """
    path = folder / TABLES
    try:
        return EntropyTables.from_arrays(load_arrays(path), str(path))
    except LiveactionError:
        raise
    except _UNREADABLE as error:
        line = " ".join(str(error).split())[:200]
        raise FormatError(
            f"{path}: expected entropy tables, got {line}; liveaction freeze {folder} makes them"
        ) from error


def _check_room(recipe: Recipe, path: Path) -> None:
    """Before memory is taken for a codec: every channel has a weight of its own at least, so its file is as large."""
    size = path.stat().st_size
    if recipe.hidden > size:
        raise FormatError(
            f"{path}: expected the weights of recipe {recipe.name!r}, {recipe.hidden} channels wide, got {size} bytes"
        )
    with torch.device("meta"):
        wanted = sum(tensor.nbytes for tensor in build_codec(recipe).state_dict().values())
    if wanted > 8 * size:
        raise FormatError(f"{path}: expected the weights of recipe {recipe.name!r}, {wanted} bytes, got {size} bytes")


def _read_config(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(LONGEST_CONFIG + 1)
        if len(text) > LONGEST_CONFIG:
            raise ValueError(f"more than {LONGEST_CONFIG} bytes")
        config = json.loads(text.decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        line = " ".join(str(error).split())
        raise FormatError(
            f"{path.parent}: expected a model directory with a readable {CONFIG}, got {line}; "
            "liveaction train makes one"
        ) from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        found = config.get("format") if isinstance(config, dict) else type(config).__name__
        raise FormatError(f"{path}: expected model format {FORMAT}, got {found!r}; use the version that wrote it")
    if not isinstance(config.get("recipe"), dict) or not isinstance(config.get("digest"), str):
        raise FormatError(f"{path}: expected a recipe and a digest, got keys {sorted(config)}")
    return config


def save_tensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Write a safetensors file, atomically."""
    _save(save_file, tensors, path)


def _save(write: Callable[[Any, Path], None], data: Any, path: Path) -> None:
    with atomic_path(path, follow=False) as part:
        part.touch()
        mode = part.stat().st_mode
        write(data, part)
        part.chmod(mode)  # safetensors lets only the owner read


def write_json(data: Any, path: Path) -> None:
    """Write readable JSON, atomically."""
    with atomic_path(path, follow=False) as part:
        part.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")

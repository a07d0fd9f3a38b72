"""From a published checkpoint to a model directory, with a look at whether it computes the same."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch

from liveaction.codec.codec import Codec
from liveaction.codec.weights import read_model, save_model
from liveaction.errors import SpecError, printable
from liveaction.published import livecodec, parity, walloc
from liveaction.published.checkpoint import Checkpoint, read_checkpoint
from liveaction.published.translation import Translation
from liveaction.recipe import load_recipe, recipe_names
from liveaction.spec import ModalitySpec, Recipe, TrainSpec

MOST_COMPARED = 400_000_000
"""Parameters up to which the published model is built beside ours to compare: both lie in memory, in float32."""


@dataclass(frozen=True)
class Import:
    """What an import did.

    Attributes:
        recipe, digest: of the model directory.
        remarks: what is not as in the checkpoint, a line each.
        check: how the model read back compares with the published one, or why that was not compared.
    """

    recipe: Recipe
    digest: str
    remarks: tuple[str, ...]
    check: str


def import_livecodec(
    path: Path, out: Path, modality: str = "", stage: Callable[[str], None] = lambda _: None
) -> Import:
    """Make a model directory of a LiVeAction checkpoint.

    Args:
        path: a ``.pth`` file with ``config`` and ``state_dict``.
        out: the folder to write; its parent exists.
        modality: name of a shipped recipe's modality, or a YAML recipe to take the modality from; may be left out
            where the shape of the signal tells.
        stage: is told what is being done.

    Raises:
        FormatError: the file is not such a checkpoint; nothing was run and nothing written.
        SpecError: no modality, or several, of that shape.
    """
    stage(f"reading {path}")
    checkpoint = read_checkpoint(path)
    tables = _modality_tables(modality)
    channels = {table.channels for table in tables if table.channels} if modality else set()
    translation = livecodec.translate(checkpoint, str(path), min(channels) if len(channels) == 1 else None)
    return _write(translation, checkpoint, path, out, tables, modality, "livecodec", stage)


def import_walloc(
    path: Path, config: Path, out: Path, modality: str = "", stage: Callable[[str], None] = lambda _: None
) -> Import:
    """Make a model directory of a WaLLoC checkpoint whose encoder is linear.

    Args:
        path: a ``.pth`` file with ``model_state_dict``.
        config: the JSON file published beside it.
        out, modality, stage: as for :func:`import_livecodec`.

    Raises:
        FormatError, SpecError: as for :func:`import_livecodec`.
    """
    stage(f"reading {path}")
    settings = walloc.read_config(config)
    checkpoint = read_checkpoint(path)
    translation = walloc.translate(checkpoint, settings, str(path))
    return _write(translation, checkpoint, path, out, _modality_tables(modality), modality, "walloc", stage)


def _write(
    translation: Translation,
    checkpoint: Checkpoint,
    path: Path,
    out: Path,
    tables: list[ModalitySpec],
    modality: str,
    package: str,
    stage: Callable[[str], None],
) -> Import:
    recipe = Recipe(
        name="".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in path.stem),
        description=f"imported from the {package} checkpoint {printable(path.name)}",
        modality=_choose(tables, translation, modality),
        codec=translation.spec,
        training=_training(translation),
    )
    with torch.device("meta"):
        codec = Codec(recipe.codec, translation.channels, translation.axes)
    codec.load_state_dict(translation.state, assign=True)
    stage(f"writing {out}")
    digest = save_model(codec, recipe, out)
    stage("checking")
    return Import(recipe, digest, translation.remarks, _check(checkpoint, translation, out, package))


def _modality_tables(modality: str) -> list[ModalitySpec]:
    """Modality tables to choose from, one per name, number of axes and of channels.

    Raises:
        SpecError: no shipped recipe has a modality of that name.
    """
    if Path(modality).suffix in {".yaml", ".yml"}:
        return [load_recipe(modality).modality]
    tables: dict[tuple[str, int, int], ModalitySpec] = {}
    for name in recipe_names():
        table = load_recipe(name).modality
        if table.channels:  # a published codec has a fixed number
            tables.setdefault((table.name, len(table.axes), table.channels), table)
    found = [table for table in tables.values() if modality in ("", table.name)]
    if not found:
        names = ", ".join(sorted({table.name for table in tables.values()}))
        raise SpecError(
            f"--modality: expected one of {names}, or a recipe such as mine.yaml to take it from, got {modality!r}"
        )
    return found


def _choose(tables: list[ModalitySpec], translation: Translation, modality: str) -> ModalitySpec:
    """The one table that the signal's shape fits.

    Raises:
        SpecError: none does, or several.
    """
    axes, channels = translation.axes, translation.channels
    shape = f"{axes} axes and {channels} channel(s)"
    fitting = [table for table in tables if len(table.axes) == axes and table.channels == channels]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = ", ".join(table.name for table in fitting)
        raise SpecError(f"--modality: expected one of {names}, which all have {shape}, got {modality or 'no name'}")
    known = ", ".join(f"{table.name} ({len(table.axes)} axes, {table.channels} channels)" for table in tables)
    raise SpecError(
        f"--modality: expected a modality with {shape} as the checkpoint has, got {known}; "
        "declare one in a recipe and give its file"
    )


def _training(translation: Translation) -> TrainSpec:
    """Settings to go on training with: crops of about 64 samples per axis, the published rate."""
    factor = 2 ** max(translation.spec.levels_per_axis(translation.axes))
    return TrainSpec(start="random", crop=(factor * max(1, round(64 / factor)),), rate="global", rate_weight=0.03)


def _check(checkpoint: Checkpoint, translation: Translation, out: Path, package: str) -> str:
    """Read the model back, code a signal with it, and compare with the published package where it is installed."""
    codec, _, _ = read_model(out)
    x = parity.seeded_signal(codec)
    with torch.inference_mode():
        symbols = codec.to_symbols(x)
        finite = bool(torch.isfinite(codec.decode(symbols, tuple(x.shape[2:]))).all())
    size = " x ".join(map(str, x.shape[2:]))
    told = f"read back by its digest; a seeded signal of {size} has symbols within {symbols.abs().max().item()}"
    if not finite:
        raise SpecError(f"{out}: expected a finite reconstruction of a seeded signal, got NaN or infinity")
    if find_spec(package) is None:
        return f"{told}\nnot compared with {package}, which is not installed"
    if sum(tensor.numel() for tensor in checkpoint.tensors.values()) > MOST_COMPARED:
        return f"{told}\nnot compared with {package}: more than {MOST_COMPARED:,} parameters"
    return f"{told}\nbeside {package}: {parity.compare(package, checkpoint, translation, codec, x)}"

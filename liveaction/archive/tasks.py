"""A folder of signals to a folder of streams and back: resumed where it was left, never half-written."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch

from liveaction.archive.folder import FolderTask, Item, Job, Place, Settings, bring_up_to_date
from liveaction.archive.manifest import Entry
from liveaction.archive.workers import Tell, Work
from liveaction.codec.quality import choose_step
from liveaction.codec.stream import decompress, write_signal, write_stream
from liveaction.codec.weights import load_model
from liveaction.errors import FormatError, IntegrityError, LiveactionError, SpecError
from liveaction.files import atomic_path, temporary_path
from liveaction.registry import build_modality
from liveaction.signal import Signal
from liveaction.spec import Recipe

if TYPE_CHECKING:
    from liveaction.codec.model import Codec
    from liveaction.modalities.base import Modality

SUFFIX = ".lva"


class FolderCompression(FolderTask):
    """All that a folder holds, ready to be compressed. An item ``a/b.png`` becomes ``a/b.png.lva`` in ``target``.

    Args:
        source: a folder, or whatever the model's modality finds items in.
        target, settings: as for :class:`FolderTask`.

    Raises:
        SpecError: as for :class:`FolderTask`, and where ``target`` lies within an item.
        FormatError: nothing readable is in ``source``, or ``model`` is no model.
    """

    def __init__(self, source: str | Path, target: str | Path, settings: Settings) -> None:
        super().__init__(target, settings, _compressor)
        codec, recipe, digest = load_model(settings.model, dtype=settings.dtype)
        step = choose_step(codec.quantizer.step, settings.step, settings.quality)
        self.wanted = Entry("", "", "ok", weights=digest, tables=codec.tables.digest, step=step, dtype=_dtype(codec))
        self.items = find_items(build_modality(recipe.modality), Path(source), self.target)


class FolderDecompression(FolderTask):
    """All streams in a folder, ready to be decompressed. ``a/b.png.lva`` becomes ``a/b.png`` in ``target``.

    Args:
        source: a folder.
        target, settings: as for :class:`FolderTask`; the step is the stream's.
        suffix: is added to names that do not end so, such as ``.nii.gz`` for what were folders of DICOM slices.

    Raises:
        SpecError: as for :class:`FolderTask`, and where two streams would become the same.
        FormatError: no stream is in ``source``, or ``model`` is no model.
    """

    def __init__(self, source: str | Path, target: str | Path, settings: Settings, suffix: str = "") -> None:
        super().__init__(target, settings, _decompressor)
        codec, _, digest = load_model(settings.model, dtype=settings.dtype)
        self.wanted = Entry("", "", "ok", weights=digest, tables=codec.tables.digest, dtype=_dtype(codec))
        self.items = find_streams(Path(source), self.target, suffix)


def find_items(modality: "Modality", source: Path, target: Path) -> list[Item]:
    """What ``source`` holds, and where it goes below ``target``.

    Raises:
        FormatError: nothing readable is there.
        SpecError: ``target`` lies within an item, whose files would then never stay the same.
    """
    items = []
    for path in modality.find(source):
        name = path.relative_to(source) if path.is_relative_to(source) else Path(path.name)
        if name == Path():
            name = Path(source.name if source.name not in ("", "..") else source.resolve().name)
        if path.is_dir() and target.resolve().is_relative_to(path.resolve()):
            raise SpecError(f"{target}: expected a folder outside of what is compressed, got one in {str(path)!r}")
        goal = name.with_name(name.name + SUFFIX)
        size = sum(file.stat().st_size for file in modality.parts(path) if file.is_file())
        items.append(Item(path, target / goal, name.as_posix(), goal.as_posix(), size))
    return items


def find_streams(source: Path, target: Path, suffix: str) -> list[Item]:
    """The streams below ``source``, sorted, but hidden ones, and where they go below ``target``.

    Raises:
        FormatError: there is none.
        SpecError: two would become the same.
    """
    found = sorted(p for p in source.rglob("*" + SUFFIX) if p.is_file() and not p.name.startswith("."))
    if not found:
        raise FormatError(f"{source}: expected {SUFFIX} files, got none; check the folder")
    items: dict[str, Item] = {}
    for path in found:
        name = path.relative_to(source)
        stem = name.name.removesuffix(SUFFIX)
        goal = name.with_name(stem if stem.lower().endswith(suffix.lower()) else stem + suffix)
        item = Item(path, target / goal, name.as_posix(), goal.as_posix(), path.stat().st_size)
        if (other := items.setdefault(item.target_name, item)) is not item:
            raise SpecError(f"--suffix: expected names that differ, got {item.target} for {path} and {other.path}")
    return list(items.values())


def _dtype(codec: "Codec") -> str:
    return str(codec.compute_dtype).removeprefix("torch.")


def _load(model: Path, device: str, dtype: str, weights: str, threads: int) -> tuple["Codec", Recipe, "Modality"]:
    """The model that the run began with, in a worker."""
    torch.set_num_threads(threads)
    codec, recipe, digest = load_model(model, device, dtype)
    if digest != weights:
        raise IntegrityError(f"{model}: expected weights {weights[:12]}, got {digest[:12]}; do not train into it now")
    return codec, recipe, build_modality(recipe.modality)


def _compressor(*arguments: Any) -> Work:
    """What a worker does, with the model loaded once."""
    codec, recipe, modality = _load(*arguments)

    def work(job: Job, tell: Tell) -> Entry:
        def compress_item(wanted: Entry, place: Place) -> None:
            _compress_item(modality, codec, recipe, wanted, job.item, place)

        return bring_up_to_date(job, lambda: modality.parts(job.item.path), compress_item, tell)

    return work


def _decompressor(*arguments: Any) -> Work:
    """What a worker does, with the model loaded once."""
    codec, _, modality = _load(*arguments)

    def work(job: Job, tell: Tell) -> Entry:
        def decompress_item(wanted: Entry, place: Place) -> None:
            _decompress_item(modality, codec, wanted, job.item, place)

        return bring_up_to_date(job, lambda: [job.item.path], decompress_item, tell)

    return work


def _compress_item(
    modality: "Modality", codec: "Codec", recipe: Recipe, wanted: Entry, item: Item, place: Place
) -> None:
    """Read, compress and write one item; ``place`` is told before it takes the target's place."""
    signal = modality.read(item.path)
    with atomic_path(item.target) as part:
        with part.open("w+b") as file:
            written = write_stream(signal, file, codec, recipe, wanted.weights, wanted.step)
        place(part, _measures(signal, written.bytes))


def _decompress_item(modality: "Modality", codec: "Codec", wanted: Entry, item: Item, place: Place) -> None:
    """Decompress one stream and write what it holds; ``place`` is told before it takes the target's place."""
    signal, _ = decompress(item.path, codec, wanted.weights)
    with atomic_path(item.target) as part, TemporaryDirectory(
        dir=item.target.parent, prefix=f"{temporary_path(item.target).name}."
    ) as folder:  # fmt: skip
        made = Path(folder) / item.target.name
        try:
            write_signal(modality, signal, made)
        except LiveactionError as error:
            raise type(error)(str(error).replace(str(made), str(item.target))) from error
        _refuse_others(sorted(Path(folder).iterdir()), made, item.target)
        made.replace(part)
        place(part, _measures(signal, item.size))


def _refuse_others(written: Sequence[Path], made: Path, target: Path) -> None:
    if list(written) != [made]:
        names = ", ".join(path.name for path in written)
        raise FormatError(f"{target}: expected a format of one file, got {names}; decompress this one alone")


def _measures(signal: Signal, size: int) -> dict[str, float]:
    """Of a stream, for the manifest."""
    return {"bytes": size, "ratio": signal.native_bits / (8 * size), "bits_per_element": 8 * size / signal.values.size}

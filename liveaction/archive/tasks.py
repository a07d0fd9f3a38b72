"""A folder of signals to a folder of streams and back: resumed where it was left, never half-written."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from liveaction.archive.find import find_items, find_streams
from liveaction.archive.folder import FolderTask, Settings
from liveaction.archive.item import ArchiveItem, ArchiveTask
from liveaction.archive.manifest import Entry
from liveaction.codec.bound import check_exact
from liveaction.codec.model import Model, load
from liveaction.codec.outline import outline_at, read_outline, targets_of
from liveaction.codec.quality import check_rate, choose_step
from liveaction.codec.scaling import MOST_HALVINGS, Scale, halvings_of
from liveaction.codec.stream import write_signal, write_stream
from liveaction.codec.target import TargetOptions
from liveaction.codec.writing import choose_coder
from liveaction.errors import FormatError, IntegrityError, LiveactionError, SpecError
from liveaction.files import temporary_path
from liveaction.signal import Signal

if TYPE_CHECKING:
    from liveaction.modalities.base import Modality


class FolderCompression(FolderTask):
    """All that a folder holds, ready to be compressed. An item ``a/b.png`` becomes ``a/b.png.lva`` in ``target``.

    Args:
        source: a folder, or whatever the model's modality finds items in.
        target, settings: as for :class:`FolderTask`.

    Raises:
        SpecError: as for :class:`FolderTask` and :func:`find_items`.
        FormatError: nothing readable is in ``source``, or ``model`` is no model.
    """

    def __init__(self, source: str | Path, target: str | Path, settings: Settings) -> None:
        super().__init__(source, target, settings)
        model = load(settings.model, device="cpu", dtype=settings.dtype)
        check_rate(settings.step, settings.quality, settings.goal, settings.max_error)
        if settings.max_error is not None:
            check_exact(model.codec, model.recipe.name)
        step, rate_said = None, settings.step is not None or settings.quality is not None
        if settings.goal is None and (settings.max_error is None or rate_said):
            step = choose_step(model.codec.spec, settings.step, settings.quality)
        coder = choose_coder(model.codec, settings.coder, settings.fast)
        self.wanted = replace(
            _wanted(model, coder),
            step=step or 0.0,
            goal=str(settings.goal or "") if settings.max_error is None else _bounded(settings.max_error, step),
            stripped=settings.strip_metadata,
            fast=settings.fast,
        )
        self.items = find_items(model.modality, Path(source), self.target)
        about = settings.model, self.device, settings.dtype, model.digest, self.threads
        options = settings.strip_metadata, settings.max_error, settings.fast, coder
        self.task = Compression(*about, step, settings.goal_options, *options)


def _bounded(max_error: float, step: float | None) -> str:
    """A bound as a goal in the manifest."""
    return f"max_error {max_error:g}" + ("" if step is None else f" step {step!r}")


class FolderDecompression(FolderTask):
    """All streams in a folder, ready to be decompressed. ``a/b.png.lva`` becomes ``a/b.png`` in ``target``.

    Args:
        source: a folder.
        target, settings: as for :class:`FolderTask`; the step is the stream's.
        suffix: is added to names that do not end so, such as ``.nii.gz`` for what were folders of DICOM slices.
        scale: see :class:`~liveaction.codec.stream.DecompressOptions`.
        thumbnails: make ``a/b.nii.gz.png`` to look at, by default at 1/8, and no signals; larger where a signal cannot
            be had at that scale, such as sound at 44.1 kHz.

    Raises:
        SpecError: another scale, ``suffix`` beside ``thumbnails``; as for :class:`FolderTask`, :func:`find_streams`.
        FormatError: no stream is in ``source``, or ``model`` is no model.
    """

    def __init__(
        self,
        source: str | Path,
        target: str | Path,
        settings: Settings,
        suffix: str = "",
        scale: Scale = 1,
        thumbnails: bool = False,
    ) -> None:
        super().__init__(source, target, settings)
        if thumbnails and suffix:
            raise SpecError(f"--suffix: expected none with --thumbnails, got {suffix!r}; leave it out")
        halvings = halvings_of(scale) or (MOST_HALVINGS if thumbnails else 0)
        scale = Fraction(1, 2**halvings)
        model = load(settings.model, device="cpu", dtype=settings.dtype)
        goal = f"{'thumbnail' if thumbnails else 'scale'} {scale}" if halvings else ""
        self.wanted = replace(_wanted(model, choose_coder(model.codec, None, False)), goal=goal)
        self.items = find_streams(Path(source), self.target, ".png" if thumbnails else suffix)
        about = settings.model, self.device, settings.dtype, model.digest, self.threads
        self.task = Decompression(*about, scale, thumbnails)


def _wanted(model: Model, coder: str) -> Entry:
    """A line of the manifest for what ``model`` makes, or reads, with a coder."""
    dtype = str(model.codec.compute_dtype).removeprefix("torch.")
    return Entry("", "", "ok", weights=model.digest, tables=model.codec.coding_digest(coder), dtype=dtype)


@dataclass
class _ModelTask(ArchiveTask):
    """What needs the model that the run began with: ``weights`` is its digest, ``threads`` are torch's.

    ``model`` is there once it is prepared.
    """

    folder: Path
    device: str
    dtype: str
    weights: str
    threads: int

    def prepare(self) -> None:
        """Load the model.

        Raises:
            IntegrityError: it is no longer the one that the run began with.
        """
        torch.set_num_threads(self.threads)
        self.model = load(self.folder, device=self.device, dtype=self.dtype)
        if self.model.digest != self.weights:
            found = self.model.digest[:12]
            raise IntegrityError(
                f"{self.folder}: expected weights {self.weights[:12]}, got {found}; do not train into it now"
            )


@dataclass
class Compression(_ModelTask):
    """A signal to a stream with the quantiser step ``step``, for a target or within a bound, perhaps with stripped
    metadata, perhaps fast, by a coder of symbols."""

    step: float | None
    goal: TargetOptions
    strip: bool
    max_error: float | None
    fast: bool
    coder: str

    def parts(self, item: ArchiveItem) -> list[Path]:
        """What the modality says a signal is made of."""
        return self.model.modality.parts(item.path)

    def read(self, item: ArchiveItem) -> Signal:
        """As the modality reads it."""
        return self.model.modality.read(item.path)

    def make(self, item: ArchiveItem, signal: Signal, part: Path) -> dict[str, Any]:
        """Write the stream."""
        with part.open("w+b") as file:
            written = write_stream(
                signal,
                file,
                self.model,
                step=self.step,
                strip_metadata=self.strip,
                max_error=self.max_error,
                fast=self.fast,
                coder=self.coder,
                **self.goal,
            )
        aim = written.aim
        reached = {} if aim is None else {"step": written.step, "reached": aim.reached, "trials": aim.trials}
        if written.bound is not None:
            reached = {"step": written.step}
        shares = {"clipped_share": written.clipped_share, "missing_share": written.missing_share}
        return _measures(signal, written.bytes) | shares | reached


@dataclass
class Decompression(_ModelTask):
    """A stream to a file of the modality's, at a scale, or to a picture of it."""

    scale: Scale
    thumbnails: bool

    def parts(self, item: ArchiveItem) -> list[Path]:
        """The stream."""
        return [item.path]

    def read(self, item: ArchiveItem) -> Signal:
        """Decoded, if the target can be written."""
        modality, outline = read_outline(item.path)
        if self.thumbnails:
            return self.model.decompress(item.path, scale=_coarsest(modality, outline, self.scale))
        outline = outline_at(modality, outline, self.scale)
        refuse_others(targets_of(modality, outline, None, item.target), item.target, item.target)
        return self.model.decompress(item.path, scale=self.scale)

    def make(self, item: ArchiveItem, signal: Signal, part: Path) -> dict[str, Any]:
        """Write the file."""
        modality, whole = read_outline(item.path)
        if self.thumbnails:
            sizes, scale = " x ".join(map(str, whole.shape)), _coarsest(modality, whole, self.scale)
            self.model.modality.preview(None, signal, part, f"{item.source_name}: {sizes}, at {scale}")
        else:
            write_alone(self.model.modality, signal, item.target, part)
        return _measures(whole, item.size)


def _coarsest(modality: "Modality", outline: Signal, scale: Scale) -> Scale:
    """The scale, or the next larger one that the metadata of a signal can be had at."""
    try:
        outline_at(modality, outline, scale)
    except FormatError:
        return _coarsest(modality, outline, 2 * Fraction(scale))
    return scale


def write_alone(modality: "Modality", signal: Signal, target: Path, part: Path) -> None:
    """Write ``target`` at the temporary path ``part``: first into a folder beside it, where more than one file is seen.

    Raises:
        FormatError: its format is of several files, or does not write the signal.
    """
    folder = temporary_path(target)
    folder.mkdir()
    try:
        made = folder / target.name
        try:
            write_signal(modality, signal, made)
        except LiveactionError as error:
            raise type(error)(str(error).replace(str(made), str(target))) from error
        refuse_others(sorted(folder.iterdir()), made, target)
        made.replace(part)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def refuse_others(written: Sequence[Path], made: Path, target: Path) -> None:
    """Refuse what was or would be written for ``target`` where it is more than the one file ``made``.

    Raises:
        FormatError: it is.
    """
    if list(written) != [made]:
        names = ", ".join(path.name for path in written)
        raise FormatError(f"{target}: expected a format of one file, got {names}; decompress this one alone")


def _measures(signal: Signal, size: int) -> dict[str, Any]:
    """Of a stream, for the manifest."""
    return {"bytes": size, "ratio": signal.native_bits / (8 * size), "bits_per_element": 8 * size / signal.values.size}

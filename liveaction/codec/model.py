"""One model, ready to use: what ``liveaction.load`` gives."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import torch

from liveaction.codec.card import TRAINING, make_card
from liveaction.codec.codec import Codec
from liveaction.codec.device import choose_device
from liveaction.codec.front import front_of
from liveaction.codec.header import MAX_VOXELS
from liveaction.codec.homed import model_for, write_defaults
from liveaction.codec.items import StreamItems, compress_items, compress_items_file
from liveaction.codec.stream import DecompressOptions, compress, compress_file
from liveaction.codec.stream import decompress as decompress_stream
from liveaction.codec.verify import Verification, VerifyOptions, verify_stream
from liveaction.codec.view import StreamView, ViewOptions
from liveaction.codec.weights import read_model, save_model
from liveaction.codec.writing import CompressOptions, Written
from liveaction.coding.source import StreamData
from liveaction.errors import IntegrityError, LiveactionError, SpecError
from liveaction.files import atomic_path
from liveaction.home import ABOUT, CARD, resolve_model
from liveaction.model_folder import CONFIG, pack_tables
from liveaction.outputs import check_outputs
from liveaction.registry import build_modality
from liveaction.signal import Signal
from liveaction.spec import Recipe

if TYPE_CHECKING:
    from liveaction.modalities.base import Modality


@dataclass(frozen=True, eq=False)
class Model:
    """A codec with the recipe it was made by and the digest that streams know it by.

    Options have the names and the meaning of the command's: ``quality=5`` is ``--quality 5``. Threads and forked
    processes may share a model; pickled, it takes its weights along, since it may be of no folder.

    Attributes:
        codec: between tensors, in evaluation mode.
        recipe: modality, codec and training; ``liveaction.train(model.recipe, data, out)`` makes another model by it.
        digest: of weights and recipe, 64 hex digits.
        folder: the model directory that it was read from; None where it is of none.

    Example:
        >>> import liveaction
        >>> model = liveaction.load("runs/ct")
        >>> scan = model.modality.read("scan.nii.gz")
        >>> data = model.compress(scan, quality=5)
        >>> back = model.decompress(data)
        >>> back.values.shape == scan.values.shape
        True
    """

    codec: Codec
    recipe: Recipe
    digest: str
    folder: Path | None = None

    def __repr__(self) -> str:
        return f"<model {self.recipe.name} {self.digest[:12]} on {self.device}>"

    def __reduce__(self) -> tuple[type["Model"], tuple[Codec, Recipe, str, Path | None]]:
        return Model, (self.codec, self.recipe, self.digest, self.folder)

    @cached_property
    def modality(self) -> "Modality":
        """Reads, normalises, compares and writes the signals that this model is for."""
        modality: Modality = build_modality(self.recipe.modality)
        return modality

    @property
    def device(self) -> torch.device:
        """Where the codec's weights are."""
        return self.codec.device

    def compress(self, source: Signal | str | Path, **options: Unpack[CompressOptions]) -> bytes:
        """A signal to the bytes of a stream.

        Args:
            source: a signal, or a file or folder that holds one.
            options: ``quality``, ``step``, ``target_size``, ``target_ratio``, ``target_psnr``, ``target_error``,
                ``max_error``, ``extras``, ``strip_metadata``, ``fast``, ``coder``, ``stage``; see
                :class:`liveaction.codec.writing.CompressOptions`.

        Raises:
            FormatError: ``source`` cannot be read.
            ShapeError: the signal has other channels or axes than the recipe.
            SpecError: an option is out of its range, or no step reaches a target.
        """
        return compress(self._signal(source), self, **options)[0]

    def compress_file(
        self, source: Signal | str | Path, target: str | Path, **options: Unpack[CompressOptions]
    ) -> Written:
        """A signal to a stream on disk, which appears whole or not at all; memory does not grow with the signal.

        Args:
            source: a signal, or a file or folder that holds one.
            target: of the ``.lva`` file; replaced where it exists.
            options: as of :meth:`compress`.

        Raises:
            FormatError, ShapeError, SpecError: as :meth:`compress`.
            SpecError: ``target`` is the source, or a part of it.
            WriteError: ``target`` cannot be written.
        """
        if not isinstance(source, Signal):
            check_source(self, Path(source), Path(target))
        return compress_file(self._signal(source), target, self, **options)

    def decompress(self, data: StreamData, **options: Unpack[DecompressOptions]) -> Signal:
        """A stream to its signal, or to a region of it.

        Args:
            data: the bytes of a stream, or the path of one, of which only what is needed is read.
            options: ``item``, ``region``, ``scale``, ``fill``, ``max_voxels``, ``stage``; see
                :class:`liveaction.codec.stream.DecompressOptions`.

        Raises:
            FormatError: not a stream, cut short, or inconsistent.
            IntegrityError: damaged, or made with another model.
        """
        return decompress_stream(data, self, **options)[0]

    def open(self, path: StreamData, **options: Unpack[ViewOptions]) -> StreamView:
        """A stream as a read-only array of which only what is asked for is decoded; see ``liveaction.open``."""
        return StreamView(path, self, **options)

    def compress_many(
        self,
        sources: Iterable[Signal | str | Path],
        names: Iterable[str] | None = None,
        **options: Unpack[CompressOptions],
    ) -> bytes:
        """Signals to the bytes of one stream, of which :meth:`open_many` reads each without the others.

        Args:
            sources: signals, or files or folders that hold one each; read one at a time, at most 65536.
            names: one for each, which the stream keeps: relative paths with slashes, such as ``shoes/1.png``.
            options: as of :meth:`compress`, for each of them; ``target_size`` and ``target_ratio`` are of whole
                streams, and refused.

        Raises:
            FormatError, ShapeError, SpecError: as :meth:`compress`, naming the item.
            FormatError: a name is none, or there twice.
            SpecError: no sources, or another number of them than of names.
        """
        return compress_items(map(self._signal, sources), self, names, **options)

    def compress_many_file(
        self,
        sources: Iterable[Signal | str | Path],
        target: str | Path,
        names: Iterable[str] | None = None,
        **options: Unpack[CompressOptions],
    ) -> list[Written]:
        """As :meth:`compress_many`, to a stream on disk, which appears whole or not at all.

        Args:
            sources, names, options: as of :meth:`compress_many`.
            target: of the ``.lva`` file; replaced where it exists.

        Returns:
            What was written of each.

        Raises:
            FormatError, ShapeError, SpecError: as :meth:`compress_many`.
            SpecError: ``target`` is a source, or a part of one.
            WriteError: ``target`` cannot be written.
        """

        def signals() -> Iterator[Signal]:
            for source in sources:
                if not isinstance(source, Signal):
                    check_source(self, Path(source), Path(target))
                yield self._signal(source)

        return compress_items_file(signals(), target, self, names, **options)

    def open_many(self, path: StreamData, *, max_voxels: int = MAX_VOXELS) -> StreamItems:
        """The items of a stream, as a sequence; see :class:`liveaction.codec.items.StreamItems`."""
        return StreamItems(path, self, max_voxels=max_voxels)

    def verify(self, path: str | Path, **options: Unpack[VerifyOptions]) -> Verification:
        """Check a stream on disk, and that all of it decodes; see ``liveaction.verify``."""
        return verify_stream(path, self, **options)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write a model directory with its card, whole or not at all; streams know it by the same digest.

        It is the default of nothing, whatever the model that was read is.

        Args:
            folder: that is not there yet.

        Raises:
            SpecError: something is there.
            IntegrityError: weights or recipe were changed since it was read.
            WriteError: it cannot be written.
        """
        target = Path(folder)
        if os.path.lexists(target):
            raise SpecError(f"{target}: expected a new folder, got one that is there; take another name")
        with atomic_path(target) as part:
            if save_model(self.codec, self.recipe, part) != self.digest and self.folder is not None:
                shutil.copyfile(self.folder / CONFIG, part / CONFIG)  # what an older version wrote of the recipe
            pack_tables(part)
            for name in (ABOUT, TRAINING):
                if self.folder is not None and (self.folder / name).is_file():
                    shutil.copyfile(self.folder / name, part / name)
            if (found := read_model(part)[2]) != self.digest:
                changed = f"expected weights {self.digest[:12]}, got {found[:12]}; they were changed"
                raise IntegrityError(f"{target}: {changed}")
            (part / CARD).write_text(make_card(part, target.resolve().name), encoding="utf-8")
            write_defaults(part, [])
        return target

    def push_to_hub(
        self, repository: str, *, private: bool = True, revision: str | None = None, message: str = ""
    ) -> str:
        """Push to a repository of a hub, made if missing; see :func:`liveaction.codec.hub.push`.

        Args:
            repository: ``owner/name``.
            private: False for one that anybody can see.
            revision: a branch; the default one where None.
            message: of the commit.

        Returns:
            The address of the commit.
        """
        from liveaction.codec.hub import push

        with tempfile.TemporaryDirectory() as made:
            folder = self.save_pretrained(Path(made) / repository.rpartition("/")[2])
            return push(folder, repository, private=private, revision=revision, message=message)

    def encode(self, source: Signal | str | Path) -> torch.Tensor:
        """The latents of a signal, before they are quantised: what other models learn from.

        Args:
            source: a signal, or a file or folder that holds one.

        Returns:
            float32 ``[1, L, *G]`` on the model's device, G the extents over the packets' factors, rounded up. With a
        basis of each signal's own L is K times the codec's, and latents of two signals are not to be compared; of
        several trees it is the first one's.

        Raises:
            FormatError, ShapeError: as :meth:`compress`.
        """
        signal = self._signal(source)
        limits, step = self.modality.range_of(signal), self.codec.quantizer.step
        front = front_of(self, signal, limits, step, tree=0)
        with torch.no_grad():
            return self.codec.encode(front.source.crop(tuple((0, n) for n in signal.shape))).flatten(0, 1)[None]

    def _signal(self, source: Signal | str | Path) -> Signal:
        return source if isinstance(source, Signal) else self.modality.read(Path(source))


def check_source(model: Model, source: Path, target: Path) -> None:
    """Refuse a stream that would take the place of what it is made of.

    Raises:
        SpecError: ``target`` is the source, one of its files, or lies in it.
        WriteError: ``target`` cannot be written.
    """
    try:
        parts = model.modality.parts(source)
    except (LiveactionError, OSError):  # reading it says so
        parts = []
    check_outputs({str(target): target}, {"what is compressed": [source, *parts]})


def load(path: str | Path, *, device: str = "auto", dtype: str = "") -> Model:
    """Read a model directory, or a known model.

    Args:
        path: the folder, as training leaves it, or, where there is none of that name, the name of a known model or 8
            digits or more of its digest; see :func:`liveaction.home.known_models`.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.
        dtype: of the networks' products: ``float32``, or ``bfloat16``, faster where the processor has such products.
            The recipe's where empty.

    Raises:
        FormatError: not a model directory, or of a format this version does not know.
        IntegrityError: the weights are not the ones that ``config.json`` was written with.
        SpecError: no such device or dtype, or a name that several known models have.
        UnknownNameError: neither a folder nor a known model.

    Example:
        >>> import liveaction
        >>> liveaction.load("runs/ct", device="cpu").recipe.name
        'ct_smoke'
    """
    folder = resolve_model(path)
    return Model(*read_model(folder, choose_device(device), dtype), folder)


def open(path: StreamData, model: Model | str | Path | None = None, **options: Unpack[ViewOptions]) -> StreamView:
    """Open a ``.lva`` file as a read-only array; close it, or use it in a ``with`` block.

    Threads and forked processes may share it, and it may be pickled for others; see
    :class:`liveaction.codec.view.StreamView`.

    Args:
        path: of the stream, or its bytes.
        model: that made it, its directory, or its name; where left out, the known model that the stream names.
        options: ``item``, which of the stream's items, the first where left out; ``max_voxels``: a stream that
            declares more is refused before anything is allocated; ``scale``: see :meth:`StreamView.at`.

    Raises:
        FormatError: it cannot be read, or is no stream.
        IntegrityError: damaged, or made with another model.
        UnknownNameError: no model was given, and the one that the stream names is not known here.

    Example:
        >>> import liveaction
        >>> with liveaction.open("scan.lva", "runs/ct") as view:
        ...     plane = view[:, :, 40]
        >>> plane.ndim
        2
    """
    return StreamView(path, _model_of(path, model), **options)


def decompress(
    path: StreamData, model: Model | str | Path | None = None, **options: Unpack[DecompressOptions]
) -> Signal:
    """A stream to its signal; see :meth:`Model.decompress`.

    Args:
        path: of the stream, or its bytes.
        model: that made it, its directory, or its name; where left out, the known model that the stream names.
        options: as of :meth:`Model.decompress`.

    Raises:
        FormatError: it cannot be read, or is no stream.
        IntegrityError: damaged, or made with another model.
        UnknownNameError: no model was given, and the one that the stream names is not known here.

    Example:
        >>> import liveaction
        >>> liveaction.decompress("scan.lva", "runs/ct").unit
        'HU'
    """
    return _model_of(path, model).decompress(path, **options)


def _model_of(path: StreamData, model: Model | str | Path | None) -> Model:
    """The model that was given, or that a stream names."""
    if isinstance(model, Model):
        return model
    return load(model_for(path) if model is None else model)


def verify(path: str | Path, model: Model | str | Path | None = None, **options: Unpack[VerifyOptions]) -> Verification:
    """Check a stream on disk: header, index and the checksum of every chunk; with a model, decode all of it.

    Args:
        path: of the ``.lva`` file.
        model: that made it, its directory, or its name; without, nothing is decoded.
        options: ``stage``, ``max_voxels``; see :class:`liveaction.codec.verify.VerifyOptions`.

    Raises:
        FormatError: it is no stream, or its header or index is damaged, so that nothing can be read.
        IntegrityError: as that, or made with another model.

    Example:
        >>> import liveaction
        >>> liveaction.verify("scan.lva", "runs/ct").damaged
        ()
    """
    return verify_stream(path, load(model) if isinstance(model, str | Path) else model, **options)

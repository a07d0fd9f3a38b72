"""Signals to measure on: found, read, cut, and named by what they hold."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from liveaction.errors import FormatError, SpecError, escaped
from liveaction.evaluation.item import Source
from liveaction.evaluation.parts import DataFile
from liveaction.files import file_digest
from liveaction.marking import refuse_marked
from liveaction.signal import Signal

if TYPE_CHECKING:
    from liveaction.modalities.base import Modality

_LONGEST = 200  # bytes


@dataclass(frozen=True)
class Subject:
    """A file or folder that holds one signal; ``name`` is its path below the data folder, ``part`` what is taken."""

    path: Path
    name: str
    part: DataFile

    @property
    def label(self) -> str:
        """Name and part, as a file or folder can be called."""
        return short_name("_".join(filter(None, (self.name.replace("/", "_"), self.part.label))))

    def read(self, modality: "Modality") -> Signal:
        """The signal, cut to its part.

        Raises:
            FormatError: the file cannot be read, or a part is empty.
            SpecError: the part names an axis that the signal has not.
        """
        signal = modality.read(self.path)
        if not self.part.part:
            return signal
        unknown = set(self.part.part) - set(signal.axes)
        if unknown:
            raise SpecError(f"{self.name}: expected a part along the axes {signal.axes}, got {sorted(unknown)}")
        shares = [self.part.part.get(axis, (0.0, 1.0)) for axis in signal.axes]
        box = tuple((int(low * n), int(high * n)) for (low, high), n in zip(shares, signal.shape, strict=True))
        if any(low >= high for low, high in box):
            raise FormatError(f"{self.name}: expected samples in part {self.part.label!r}, got none of {signal.shape}")
        return modality.cropped(signal.crop(*(slice(low, high) for low, high in box)), box, signal.shape)

    def source(self, modality: "Modality", signal: Signal) -> Source:
        """What an item says of the signal."""
        return Source(
            name=self.name,
            digest=digest_of(self.path, modality),
            part=self.part.label,
            shape=signal.values.shape,
            axes=signal.axes,
            dtype=signal.dtype,
            bits=signal.bits or signal.native_bits // signal.values.size,
            unit=signal.unit,
            limits=modality.range_of(signal),
        )


def digest_of(path: Path, modality: "Modality") -> str:
    """SHA-256 of a file; of a folder that of the digests and names of the files that the signal consists of."""
    if path.is_file():
        return file_digest(path)
    folder = path if path.is_dir() else path.parent  # an item may be a part of a folder
    lines = [f"{file_digest(file)}  {file.relative_to(folder).as_posix()}" for file in modality.parts(path)]
    return hashlib.sha256(os.fsencode("\n".join(lines))).hexdigest()


def short_name(text: str) -> str:
    """A text as a file can be called, with room for a suffix: what is too long ends in a digest."""
    data = text.encode()
    if len(data) <= _LONGEST:
        return text
    return data[:_LONGEST].decode(errors="ignore") + "~" + hashlib.sha256(data).hexdigest()[:8]


def find_subjects(modality: "Modality", sources: Sequence[Path]) -> list[Subject]:
    """All signals in files and folders.

    Raises:
        FormatError: nothing readable is there, or two signals would have one name.
    """
    found = [
        Subject(path, _below(path, source, source.name), DataFile(path=escaped(path.name)))
        for source in sources
        for path in modality.find(source)
    ]
    return _apart(found)


def protocol_subjects(data: Path, files: Sequence[DataFile], modality: "Modality") -> list[Subject]:
    """The signals of a protocol below the data folder; an entry may be a folder of many.

    Raises:
        FormatError: one is not there, or holds nothing readable.
    """
    subjects = []
    for file in files:
        place = data / file.path
        if not place.exists():
            raise FormatError(f"--data {data}: expected the protocol's file {file.path!r} in it, got none")
        subjects += [Subject(path, _below(path, place, file.path), file) for path in modality.find(place)]
    return _apart(subjects)


def check_captured(files: Iterable[Path], wanted: bool) -> None:
    """Refuse to measure on pictures that are marked as synthesised, unless that is ``wanted``.

    Args:
        files: that signals consist of.
        wanted: what ``--synthesised`` says.

    Raises:
        SpecError: one carries the mark.
    """
    if not wanted:
        refuse_marked("--data", files, "leave it out, or add --synthesised")


def files_below(path: Path) -> Iterator[Path]:
    """A file, or the files in a folder; nothing where neither is."""
    yield from sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def _below(path: Path, source: Path, name: str) -> str:
    """What a signal is called that was found in ``source``, itself called ``name``; text that any file can hold."""
    return escaped(name if path == source else f"{name}/{path.relative_to(source).as_posix()}")


def _apart(subjects: list[Subject]) -> list[Subject]:
    labels = [subject.label for subject in subjects]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice:
        raise FormatError(f"--data: expected signals of different names, got {twice!r} twice; rename one")
    return subjects

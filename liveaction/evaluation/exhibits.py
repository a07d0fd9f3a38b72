"""Exhibits in folders, so that a report is made from files: pictures as PNG, sound as FLAC of 16 bits, and an index."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from liveaction.errors import FormatError, ShapeError
from liveaction.evaluation.item import Measurement, Source
from liveaction.files import atomic_path
from liveaction.modalities.exhibit import Exhibit, Picture, Sound

_INDEX = "index.json"
_WAY = "save the exhibits again"


class PictureEntry(BaseModel):
    """A picture's line in the index: its file, and what :class:`Picture` has beside the pixels."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["picture"] = "picture"
    name: str
    file: Annotated[str, Field(pattern=r"^\d+\.png$")]
    aspect: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class SoundEntry(BaseModel):
    """A sound's line in the index."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["sound"] = "sound"
    name: str
    file: Annotated[str, Field(pattern=r"^\d+\.flac$")]
    rate: Annotated[int, Field(gt=0)]


Entry = PictureEntry | SoundEntry


class _Index(BaseModel):
    model_config = ConfigDict(extra="forbid")
    format: Literal[1] = 1
    exhibits: list[Annotated[Entry, Field(discriminator="kind")]]


def folder_of_source(root: Path, source: Source) -> Path:
    """Where the exhibits of an original lie below ``root``."""
    return root / _short(source.digest, source.part, source.name) / "original"


def folder_of_item(root: Path, item: Measurement) -> Path:
    """Where the exhibits of an item's reconstruction lie below ``root``: beside its original's."""
    key = _short(item.kind, item.curve, item.codec, item.seed, item.setting, item.value)
    return folder_of_source(root, item.source).parent / key


def save_exhibits(exhibits: list[Exhibit], folder: Path) -> None:
    """Write exhibits to ``folder``, which appears whole or not at all and takes the place of an older one.

    Pictures come back exactly, sound rounded to 16 bits.

    Raises:
        ShapeError: a picture is not uint8 ``[H, W]`` or ``[H, W, 3]``, or a sound not ``[1 or 2, T]``.
        WriteError: there is no room, or no right.
    """
    for exhibit in exhibits:
        _check(exhibit)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder) as part:
        part.mkdir()
        entries: list[Entry] = []
        for number, exhibit in enumerate(exhibits):
            if isinstance(exhibit, Picture):
                entries.append(PictureEntry(name=exhibit.name, file=f"{number}.png", aspect=exhibit.aspect))
                _write_png(exhibit, part / entries[-1].file)
            else:
                entries.append(SoundEntry(name=exhibit.name, file=f"{number}.flac", rate=exhibit.rate))
                _write_flac(exhibit, part / entries[-1].file)
        index = _Index(exhibits=entries)
        (part / _INDEX).write_text(json.dumps(index.model_dump(), indent=1) + "\n", encoding="utf-8")


def read_index(folder: Path) -> list[Entry]:
    """What a folder holds, in order, its files not opened; empty where the folder does not exist.

    Raises:
        FormatError: the index is missing or not one, or names a file that is not there.
    """
    if not folder.exists():
        return []
    try:
        entries = _Index.model_validate_json((folder / _INDEX).read_text(encoding="utf-8")).exhibits
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        got = "none" if isinstance(error, OSError) else "something else"
        raise FormatError(f"{folder / _INDEX}: expected an index of exhibits, got {got}; {_WAY}") from error
    for entry in entries:
        if not (folder / entry.file).is_file():
            raise FormatError(f"{folder}: expected the file {entry.file!r} of its index, got none; {_WAY}")
    return list(entries)


def load_exhibits(folder: Path) -> list[Exhibit]:
    """What :func:`save_exhibits` wrote; empty where the folder does not exist.

    Raises:
        FormatError: the index or a file is missing or damaged.
    """
    return [_load(folder / entry.file, entry) for entry in read_index(folder)]


def _short(*parts: object) -> str:
    """Sixteen hex digits that stand for some values."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _check(exhibit: Exhibit) -> None:
    if isinstance(exhibit, Picture):
        pixels = exhibit.pixels
        good = pixels.dtype == np.uint8 and (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3))
        wanted, got = "uint8 pixels [H, W] or [H, W, 3]", f"{pixels.dtype} {pixels.shape}"
    else:
        good = exhibit.samples.ndim == 2 and exhibit.samples.shape[0] in (1, 2)
        wanted, got = "samples [1 or 2, T]", str(exhibit.samples.shape)
    if not good:
        raise ShapeError(f"exhibit {exhibit.name!r}: expected {wanted}, got {got}")


def _write_png(picture: Picture, path: Path) -> None:
    """With a palette where there are at most 256 colours, as spectrograms have: a third of the bytes."""
    from imagecodecs import png_encode
    from PIL import Image

    pixels = np.ascontiguousarray(picture.pixels)
    if pixels.ndim == 3:
        packed = (pixels.astype(np.uint32) << np.array([16, 8, 0], np.uint32)).sum(axis=2, dtype=np.uint32)
        colours, which = np.unique(packed, return_inverse=True)
        if len(colours) <= 256:
            image = Image.fromarray(which.reshape(packed.shape).astype(np.uint8)).convert("P")
            image.putpalette([int(colour >> shift) & 255 for colour in colours for shift in (16, 8, 0)])
            image.save(path, "PNG", optimize=True)
            return
    path.write_bytes(png_encode(pixels, level=6))


def _write_flac(sound: Sound, path: Path) -> None:
    from soundfile import write

    samples = np.rint(np.clip(sound.samples.T.astype(np.float64), -1, 1) * 32767).astype(np.int16)
    write(path, samples, sound.rate, format="FLAC", subtype="PCM_16")


def _load(path: Path, entry: Entry) -> Exhibit:
    from imagecodecs import PngError, png_decode
    from soundfile import LibsndfileError, read

    try:
        if isinstance(entry, PictureEntry):
            return Picture(entry.name, np.asarray(png_decode(path.read_bytes())), entry.aspect)
        samples, rate = read(path, dtype="int16", always_2d=True)
    except (PngError, LibsndfileError) as error:
        raise FormatError(f"{path}: expected a whole file of a {entry.kind}, got a damaged one; {_WAY}") from error
    return Sound(entry.name, (samples.T / 32767).astype(np.float32), rate)

"""Writing audio: the container by the name's suffix, the subtype, rate and tags of the source."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError, LiveactionWarning
from liveaction.files import atomic_path, write_errors
from liveaction.mapped import release_pages
from liveaction.modalities.audio.chunks import MOST_KEPT
from liveaction.modalities.audio.read import CONTAINERS, About, opened, text_tags
from liveaction.modalities.audio.samples import BLOCK, NATIVE, to_disk
from liveaction.modalities.hyperspectral.cube import unpack_bytes

_WAVE = ("WAV", "WAVEX", "RF64")
_LIMIT = 2**32 - 2**16 - MOST_KEPT  # bytes that 32-bit chunk sizes can say, less the header and other chunks


def write_audio(values: NDArray[Any], about: About, path: Path) -> None:
    """Write a new file or leave the old one, never a half.

    Values of any real dtype are rounded and cut to what the subtype holds. ``.wav`` stays WAVEX or RF64 where the
    source is that, and becomes RF64 where it outgrows 4 GiB.

    Args:
        values: ``[C, T]``, finite.
        about: of the source.
        path: its suffix names the container.

    Raises:
        FormatError: as :func:`container_of`.
    """
    container = container_of(values, about, path)
    family = (_WAVE, (container,))[container not in _WAVE]
    endian = about.endian if about.container in family else "FILE"
    with atomic_path(path) as part:
        lost = _write(values, about, path, part, container, endian)
        kept = container in _WAVE and endian != "BIG"
        if kept and about.chunks:
            _append(path, part, [(name, unpack_bytes(content, path)) for name, content in about.chunks])
        gone = about.other_chunks if kept else (*about.other_chunks, *(name for name, _ in about.chunks))
        lost += [f"chunk {name!r}" for name in gone]
        if lost:
            warnings.warn(
                f"{path}: {', '.join(lost)} of the source cannot be written back to {container}",
                LiveactionWarning,
                stacklevel=2,
            )


def container_of(values: NDArray[Any], about: About, path: Path) -> str:
    """The container that the suffix asks for.

    Args:
        values: ``[C, T]``, of which only the shape counts.
        about: of the source.
        path: of the file to write.

    Raises:
        FormatError: a suffix that is not written, or a container that cannot hold such samples.
    """
    import soundfile

    container = CONTAINERS.get(path.suffix.lower())
    if container is None:
        raise FormatError(
            f"{path}: expected a name ending in {', '.join(s for s, c in CONTAINERS.items() if c)}, got {path.name!r}; "
            "rename it (lossy formats are read only)"
        )
    if container == "WAV" and about.container in _WAVE:
        container = about.container
    if not soundfile.check_format(container, about.subtype):
        fitting = [s for s, c in CONTAINERS.items() if c and soundfile.check_format(c, about.subtype)]
        raise FormatError(
            f"{path}: expected a container that holds {about.subtype} samples, got {container}; take "
            f"{', '.join(fitting)}"
        )
    channels, size = len(values), values.size * NATIVE[about.subtype].bits // 8
    if container == "FLAC" and (channels > 8 or about.rate > 655350):
        raise FormatError(
            f"{path}: expected at most 8 channels and 655350 Hz for FLAC, got {channels} and {about.rate}; take .wav"
        )
    if container == "AIFF" and size > _LIMIT:
        raise FormatError(f"{path}: expected less than 4 GiB for AIFF, got {size} bytes of samples; take .wav or .w64")
    return "RF64" if container in {"WAV", "WAVEX"} and size > _LIMIT else container


def _write(values: NDArray[Any], about: About, path: Path, part: Path, container: str, endian: str) -> list[str]:
    """Write all to ``part`` for ``path``; returns the tags that the container did not take."""
    import soundfile

    samples = NATIVE[about.subtype]
    try:
        shape = about.rate, len(values), about.subtype, endian, container
        with write_errors(path, part), soundfile.SoundFile(part, "w", *shape) as file:
            for name, text in about.tags.items():
                try:
                    setattr(file, name, text)
                except soundfile.LibsndfileError:
                    continue  # the check below finds it missing
            for start in range(0, values.shape[1], BLOCK):
                file.write(np.ascontiguousarray(to_disk(values[:, start : start + BLOCK], samples).T))
                release_pages(values)
    except soundfile.SoundFileError as error:
        raise FormatError(
            f"{path}: expected {container} to take {len(values)} channels of {about.subtype} at {about.rate} Hz, got: "
            f"{error}; take .wav or .w64"
        ) from error
    if container in {"WAVEX", "RF64"} and about.channel_mask is not None:
        _describe(part, about, about.channel_mask)
    with opened(part) as file:
        there = text_tags(file)
    return [f"tag {name!r}" for name, text in about.tags.items() if there.get(name) != text]


def _describe(part: Path, about: About, mask: int) -> None:
    """Put the source's valid bits, loudspeakers and GUID where libsndfile put its own: from byte 26 of ``fmt`` on."""
    with part.open("r+b") as file:
        place = file.read(128).index(b"fmt ") + 26
        for at, data in (
            (place, about.valid_bits.to_bytes(2, "little") if about.valid_bits else b""),
            (place + 2, mask.to_bytes(4, "little")),
            (place + 6, bytes.fromhex(about.guid)),
        ):
            file.seek(at)
            file.write(data)


def _append(path: Path, part: Path, chunks: list[tuple[str, bytes]]) -> None:
    """Put chunks behind the samples of a WAV or RF64 file, and its new length into its header."""
    if sum(len(content) for _, content in chunks) > MOST_KEPT:
        raise FormatError(f"{path}: expected other chunks of at most {MOST_KEPT} bytes in the metadata, got more")
    with part.open("r+b") as file:
        wide = file.read(4) == b"RF64"
        end = file.seek(0, 2)
        file.write(bytes(end % 2))
        for name, content in chunks:
            file.write(name.encode("ascii") + len(content).to_bytes(4, "little") + content + bytes(len(content) % 2))
        length = file.tell() - 8
        file.seek(20 if wide else 4)  # of RF64 in its first chunk, ds64
        file.write(length.to_bytes(8 if wide else 4, "little"))

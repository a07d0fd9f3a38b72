"""Audio files through libsndfile: samples as the file holds them, rate, container, subtype and text tags kept."""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from liveaction.errors import FormatError, LiveactionWarning
from liveaction.mapped import converted, empty_values, release_pages
from liveaction.modalities.audio.samples import BLOCK, CODED, NATIVE, Samples, to_native

# suffix: the container that is written; None is read only
CONTAINERS: dict[str, str | None] = {
    ".wav": "WAV",
    ".wave": "WAV",
    ".rf64": "RF64",
    ".w64": "W64",
    ".flac": "FLAC",
    ".aif": "AIFF",
    ".aiff": "AIFF",
    ".aifc": "AIFF",
    ".ogg": None,
    ".oga": None,
    ".opus": None,
    ".mp3": None,
}
TAGS = frozenset(
    ("title", "copyright", "software", "artist", "comment", "date", "album", "license", "tracknumber", "genre")
)
"""Texts that libsndfile keeps; they are set as attributes by these names."""

_STREAMED = 0x7FFFF000  # a length from here on means that its writer did not know it
_UNKNOWN = 2**62  # samples; libsndfile's word for a streamed FLAC
_LENGTHS = {"WAV": "data", "WAVEX": "data", "AIFF": "SSND", "RF64": "Riff size", "W64": "riff"}
_KEPT_CHUNKS = {"fmt", "data", "LIST", "fact", "PEAK", "ds64", "JUNK", "PAD"}
_CREDIT = re.compile(r" \(libsndfile-[\w.]+\)$")  # what libsndfile adds to the tag `software`


@dataclass(frozen=True)
class About:
    """What a file says of itself, enough to write it back.

    Attributes:
        rate: samples per second and channel.
        container, subtype, endian: libsndfile's names, such as ``WAV``, ``PCM_24``, ``FILE``.
        tags: text by libsndfile's names.
        channel_mask: the loudspeakers of a WAVEX or RF64 file, where it names them; None in other containers.
        lossy: the subtype of a lossy source, whose samples are kept as ``subtype``; empty otherwise.
        other_chunks: parts of the file that libsndfile does not hand out, such as ``bext``.
    """

    rate: int
    container: str
    subtype: str
    endian: str = "FILE"
    tags: dict[str, str] = field(default_factory=dict)
    channel_mask: int | None = None
    lossy: str = ""
    other_chunks: tuple[str, ...] = ()

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any], where: Path) -> "About":
        """Back from the JSON of a signal's metadata; other keys are passed over.

        Raises:
            FormatError: rate or subtype are missing or unknown.
        """
        there = {one.name: metadata[one.name] for one in fields(cls) if one.name in metadata}
        if not isinstance(there.get("rate"), int) or there["rate"] < 1 or there.get("subtype") not in NATIVE:
            raise FormatError(
                f"{where}: expected metadata with a rate and a subtype among {', '.join(NATIVE)}, got "
                f"{there.get('rate')!r} and {there.get('subtype')!r}; take the signal that the file was read to"
            )
        tags, mask = there.get("tags", {}), there.get("channel_mask")
        wrong = not isinstance(tags, dict) or not all(isinstance(text, str) for text in tags.values())
        wrong = wrong or not tags.keys() <= TAGS or not (mask is None or (isinstance(mask, int) and 0 <= mask < 2**32))
        if wrong or there["rate"] >= 2**31:
            raise FormatError(
                f"{where}: expected metadata with texts for {', '.join(sorted(TAGS))} and numbers of 32 bits, got "
                f"{str({'rate': there['rate'], 'channel_mask': mask, 'tags': tags})[:200]!r}"
            )
        return cls(**{"container": "", **there, "other_chunks": tuple(there.get("other_chunks", ()))})


class Recording(NamedTuple):
    """Samples ``[C, T]`` and what the file says of them."""

    values: NDArray[Any]
    about: About
    samples: Samples


def is_audio(path: Path) -> bool:
    """Whether the name ends like an audio file that is read, in any case."""
    return path.suffix.lower() in CONTAINERS


def read_audio(path: Path, channels: int, select: Sequence[int] | None = None) -> Recording:
    """Read a whole file, block by block; more than 64 MiB go to a temporary file that is mapped.

    Args:
        path: an existing file.
        channels: how many the recipe has.
        select: which of the file's channels are taken, in that order; None takes all.

    Raises:
        FormatError: no audio file, cut short, without samples, or of another number of channels.
    """
    with opened(path) as file:
        about = _about(file)
        samples = NATIVE[about.subtype]
        picked = _pick(path, file.channels, channels, select)
        if select is not None and about.channel_mask is not None:
            about = replace(about, channel_mask=0)
        _check_length(path, file)
        frames, at = file.frames, 0
        values = empty_values((len(picked), frames), samples.dtype)
        while len(block := file.read(BLOCK, dtype="float64" if about.lossy else samples.read_as, always_2d=True)):
            part = to_native(block[:, picked], samples, bool(about.lossy)).T
            values[:, at : at + part.shape[1]] = part
            release_pages(values)
            at += part.shape[1]
    if frames - at > (4096 if about.lossy else 0):
        raise FormatError(f"{path}: expected {frames} samples per channel, got {at}: cut short; copy the source again")
    if at == 0:
        raise FormatError(f"{path}: expected at least one sample, got none; leave this file out")
    if at < values.shape[1]:
        values = converted(values[:, :at], values.dtype)
    return Recording(values, about, samples)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A file open for reading.

    Raises:
        FormatError: libsndfile cannot open or decode it.
    """
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            yield file
    except (soundfile.SoundFileError, OSError) as error:
        words = " ".join(getattr(error, "error_string", str(error)).removeprefix("Error : ").split()).rstrip(".")
        raise FormatError(
            f"{path}: expected a whole audio file that libsndfile reads, got: {words}; copy or convert the source again"
        ) from error


def text_tags(file: Any) -> dict[str, str]:
    """Text tags of an open file by libsndfile's names, without what libsndfile adds to ``software``."""
    return {name: _CREDIT.sub("", text) for name, text in file.copy_metadata().items() if text}


def _about(file: Any) -> About:
    """Format and tags of an open file.

    Raises:
        FormatError: its coding is neither linear PCM, nor floats, nor a known lossy one.
    """
    subtype, lossy = file.subtype, ""
    if subtype in CODED or subtype.startswith("MPEG_LAYER"):
        subtype, lossy = "PCM_16", file.subtype
        warnings.warn(
            f"lossy audio ({lossy}) is read as 16-bit samples, which ratios are stated on; it is written back as "
            ".wav, .flac, .w64 or .aiff only",
            LiveactionWarning,
            stacklevel=2,
        )
    elif subtype not in NATIVE:
        raise FormatError(
            f"{file.name}: expected integers of 8 to 32 bits or floats, got {file.subtype}; convert it to .wav or .flac"
        )
    mask = re.search(r"^ *Channel Mask *: 0x([0-9A-F]+)", file.extra_info, re.MULTILINE)
    chunks = {name.strip() for name in re.findall(r"^(\S{3,4}) *: \d+", file.extra_info, re.MULTILINE)}
    wave = file.format in {"WAV", "WAVEX", "RF64"}
    return About(
        rate=file.samplerate,
        container=file.format,
        subtype=subtype,
        endian="FILE" if lossy else file.endian,
        tags=text_tags(file),
        channel_mask=int(mask[1], 16) if mask else None,
        lossy=lossy,
        other_chunks=tuple(sorted(chunks - _KEPT_CHUNKS - {"File", "RIFF", "RIFX", "End"})) if wave else (),
    )


def _pick(path: Path, there: int, wanted: int, select: Sequence[int] | None) -> list[int]:
    """Indices of the channels to take, as many as the recipe has."""
    if select is None:
        if there == wanted:
            return list(range(there))
        way = f"or take some with --set modality.options.select={list(range(wanted))}"
        raise FormatError(
            f"{path}: expected {wanted} channels as the recipe has, got {there}; train with --set "
            f"modality.channels={there}, {way if there > wanted else 'and fewer codec.latent_channels if need be'}"
        )
    if max(select) >= there:
        raise FormatError(
            f"{path}: expected channels 0 to {there - 1} in modality.options.select, got {list(select)}; choose among "
            f"the file's {there}"
        )
    return list(select)


def _check_length(path: Path, file: Any) -> None:
    """Refuse a file that is shorter than its header says; libsndfile itself shortens the recording silently."""
    if file.frames >= _UNKNOWN:
        raise FormatError(
            f"{path}: expected a header that says how long the recording is, got a streamed {file.format} file; "
            "convert it again, from file to file"
        )
    name = _LENGTHS.get(file.format)
    found = name and re.search(rf"^ *{name} *: (\d+) \(should be (\d+)\)", file.extra_info, re.MULTILINE)
    if not found:
        return
    said, there = int(found[1]), int(found[2])
    if said >= _STREAMED and file.format in {"WAV", "WAVEX"}:
        warnings.warn(
            f"{path}: the header does not say how long the recording is; taken up to the file's end",
            LiveactionWarning,
            stacklevel=3,
        )
    elif said > there:
        raise FormatError(f"{path}: expected {said} bytes as its header says, got {there}: cut short; copy it again")

"""Audio files through libsndfile: samples as the file holds them, rate, container, subtype and text tags kept."""

import hashlib
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from liveaction.errors import FormatError, LiveactionWarning
from liveaction.mapped import converted, empty_values, release_pages
from liveaction.modalities.audio.chunks import CREDIT, Parts, Patched, corrected, flac_digest, is_other, others, scan
from liveaction.modalities.audio.samples import BLOCK, CODED, NATIVE, Samples, to_native, whole_bytes
from liveaction.modalities.hyperspectral.cube import pack_bytes

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

_UNKNOWN = 2**62  # samples; libsndfile's word for a streamed FLAC
_WAVE = ("RIFF", "RIFX", "RF64", "BW64")
_EXTENSIBLE, _USUAL = b"\xfe\xff", bytes.fromhex("000000001000800000aa00389b71")  # WAVEX, and how its GUIDs end


@dataclass(frozen=True)
class About:
    """What a file says of itself, enough to write it back.

    Attributes:
        rate: samples per second and channel.
        container, subtype, endian: libsndfile's names, such as ``WAV``, ``PCM_24``, ``FILE``.
        tags: text by libsndfile's names.
        channel_mask: the loudspeakers of a WAVEX or RF64 file, where it names them; None in other containers.
        lossy: the subtype of a lossy source, whose samples are kept as ``subtype``; empty otherwise.
        valid_bits: of the samples of a WAVEX or RF64 file, where they are fewer than the subtype's; else 0.
        guid: of the format of such a file, in hexadecimal digits, where it is no usual one, such as B-format.
        chunks: of a WAV file, name and packed content, such as ``bext``.
        other_chunks: names of what else is in a file and cannot be written back.
    """

    rate: int
    container: str
    subtype: str
    endian: str = "FILE"
    tags: dict[str, str] = field(default_factory=dict)
    channel_mask: int | None = None
    lossy: str = ""
    valid_bits: int = 0
    guid: str = ""
    chunks: tuple[tuple[str, str], ...] = ()
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
        cls._check_parts(there, where)
        lists = {name: tuple(map(_frozen, there.get(name, ()))) for name in ("chunks", "other_chunks")}
        return cls(**{"container": "", **there, **lists})

    @staticmethod
    def _check_parts(there: Mapping[str, Any], where: Path) -> None:
        """Refuse what would not be a chunk of a WAV file, or would be another one than was read."""
        guid, bits, chunks = there.get("guid", ""), there.get("valid_bits", 0), there.get("chunks", ())
        wrong = not isinstance(guid, str) or not re.fullmatch("([0-9a-f]{32})?", guid)
        wrong = wrong or not isinstance(bits, int) or not 0 <= bits <= 64 or not isinstance(chunks, list | tuple)
        wrong = wrong or not all(isinstance(one, list | tuple) and len(one) == 2 and is_other(one[0]) for one in chunks)
        if wrong:
            raise FormatError(f"{where}: expected metadata with other chunks of a WAV file, got {str(chunks)[:200]!r}")


class Recording(NamedTuple):
    """Samples ``[C, T]`` and what the file says of them."""

    values: NDArray[Any]
    about: About
    samples: Samples


def is_audio(path: Path) -> bool:
    """Whether the name ends like an audio file that is read, in any case."""
    return path.suffix.lower() in CONTAINERS


def channels_of(path: Path) -> int:
    """How many channels a file says that it has; no sample is read.

    Raises:
        FormatError: no audio file, or a damaged one.
    """
    parts = _scanned(path)
    with opened(path, corrected(path, parts) if parts is not None else None) as file:
        return int(file.channels)


def read_audio(path: Path, channels: int, select: Sequence[int] | None = None) -> Recording:
    """Read a whole file, block by block; more than 64 MiB go to a temporary file that is mapped.

    Args:
        path: an existing file.
        channels: how many the recipe has; 0 takes any number.
        select: which of the file's channels are taken, in that order; None takes all.

    Raises:
        FormatError: no audio file, cut short, without samples, or of another number of channels.
    """
    parts = _scanned(path)
    if parts is not None:
        _check_length(path, parts)
    with opened(path, corrected(path, parts) if parts is not None else None) as file:
        about = _about(path, file, parts)
        samples = NATIVE[about.subtype]
        picked = _pick(path, file.channels, channels, select)
        if select is not None and about.channel_mask is not None:
            about = replace(about, channel_mask=0, guid="")
        if file.frames >= _UNKNOWN:
            raise FormatError(
                f"{path}: expected a header that says how long the recording is, got a streamed {file.format} file; "
                "convert it again, from file to file"
            )
        frames, at = file.frames, 0
        values = empty_values((len(picked), frames), samples.dtype)
        bits, said = flac_digest(path) or (0, b"")
        digest = hashlib.md5(usedforsecurity=False) if bits == samples.bits else None
        while len(block := file.read(BLOCK, dtype="float64" if about.lossy else samples.read_as, always_2d=True)):
            native = to_native(block, samples, bool(about.lossy))
            if digest is not None:
                digest.update(whole_bytes(native, samples.bits))
            values[:, at : at + len(native)] = native[:, picked].T
            release_pages(values)
            at += len(native)
    if frames - at > (4096 if about.lossy else 0):
        raise FormatError(f"{path}: expected {frames} samples per channel, got {at}: cut short; copy the source again")
    if digest is not None and digest.digest() != said:
        raise FormatError(
            f"{path}: expected samples with the MD5 {said.hex()} as the header says, got {digest.hexdigest()}: damaged "
            "or cut; copy the source again"
        )
    if at == 0:
        raise FormatError(f"{path}: expected at least one sample, got an empty recording; there is nothing to code")
    if at < values.shape[1]:
        values = converted(values[:, :at], values.dtype)
    return Recording(values, about, samples)


@contextmanager
def opened(path: Path, patched: Patched | None = None) -> Iterator[Any]:
    """A file open for reading, or ``patched``, which is the file with a better header, and is closed.

    Raises:
        FormatError: libsndfile cannot open or decode it.
    """
    import soundfile

    try:
        with patched or nullcontext(path) as source, soundfile.SoundFile(source) as file:
            yield file
    except (soundfile.SoundFileError, OSError) as error:
        words = " ".join(getattr(error, "error_string", str(error)).removeprefix("Error : ").split()).rstrip(".")
        if "does not exist" in words and path.exists():  # what it says of an MP3 that it cannot follow
            words = "damage"
        raise FormatError(
            f"{path}: expected a whole audio file that libsndfile reads, got: {words}; copy or convert the source again"
        ) from error


def text_tags(file: Any) -> dict[str, str]:
    """Text tags of an open file by libsndfile's names, without what libsndfile adds to ``software``."""
    return {name: CREDIT.sub("", text) for name, text in file.copy_metadata().items() if text}


def _about(path: Path, file: Any, parts: Parts | None) -> About:
    """Format, tags and other parts of an open file; warns of what will not be written back.

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
            f"{path}: expected integers of 8 to 32 bits or floats, got {file.subtype}; convert it to .wav or .flac"
        )
    mask = re.search(r"^ *Channel Mask *: 0x([0-9A-F]+)", file.extra_info, re.MULTILINE)
    tags = text_tags(file)
    beside = others(path, parts, tags.values())
    lost = tuple(name for name, content in beside.items() if content is None)
    if lost:
        warnings.warn(f"{path}: {', '.join(map(repr, lost))} will not be written back", LiveactionWarning, stacklevel=3)
    form = parts.format if parts is not None and parts.format[:2] == _EXTENSIBLE and not lossy else b""
    bits, guid = int.from_bytes(form[18:20], "little"), form[24:40]
    return About(
        rate=file.samplerate,
        container=file.format,
        subtype=subtype,
        endian="FILE" if lossy else file.endian,
        tags=tags,
        channel_mask=int(mask[1], 16) if mask else None,
        lossy=lossy,
        valid_bits=0 if bits == NATIVE[subtype].bits else bits,
        guid="" if guid[2:] == _USUAL else guid.hex(),
        chunks=tuple((name, pack_bytes(content)) for name, content in beside.items() if content is not None),
        other_chunks=lost,
    )


def _pick(path: Path, there: int, wanted: int, select: Sequence[int] | None) -> list[int]:
    """Indices of the channels to take, as many as the recipe has, or all there are where it has 0."""
    if select is None:
        if wanted in (0, there):
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


def _frozen(one: Any) -> Any:
    return tuple(one) if isinstance(one, list) else one


def _scanned(path: Path) -> Parts | None:
    try:
        return scan(path)
    except OSError as error:
        raise FormatError(f"{path}: expected a readable audio file, got {error.strerror}") from error


def _check_length(path: Path, parts: Parts) -> None:
    """Refuse a file that is shorter than its header says; libsndfile itself shortens the recording silently.

    Warns where the header does not say how long the recording is, and of bytes that are no whole sample or no part.
    """
    said, there = parts.samples.said, parts.there
    if parts.streamed:
        if parts.kind not in _WAVE:
            raise FormatError(
                f"{path}: expected a header that says how long the recording is, got {said} bytes and {there} in the "
                "file; convert it again, from file to file"
            )
        warnings.warn(
            f"{path}: the header does not say how long the recording is; taken up to the file's end",
            LiveactionWarning,
            stacklevel=3,
        )
    elif said > there:
        raise FormatError(f"{path}: expected {said} bytes as its header says, got {there}: cut short; copy it again")
    elif parts.rest:
        warnings.warn(
            f"{path}: {parts.rest} bytes at its end are no part of the recording as the header says, and left out",
            LiveactionWarning,
            stacklevel=3,
        )
    if parts.part and not parts.streamed:
        warnings.warn(
            f"{path}: {parts.part} bytes at the end of the recording are less than one sample of all channels, and "
            "left out",
            LiveactionWarning,
            stacklevel=3,
        )

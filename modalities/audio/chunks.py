"""Parts of WAV, AIFF, W64 and FLAC files: how long the samples are, and what libsndfile does not hand out."""

import io
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

_SAMPLES = {"RIFF": "data", "RIFX": "data", "RF64": "data", "BW64": "data", "FORM": "SSND", "W64": "data"}
_USED = {
    "fmt ", "data", "ds64", "fact", "PEAK", "JUNK", "junk", "PAD ", "FLLR", "wave",  # of WAV, RF64 and W64
    "COMM", "SSND", "FVER",  # of AIFF
}  # fmt: skip
_TEXTS = {"NAME", "AUTH", "ANNO", "(c) ", "APPL"}
_BLOCKS = {2: "APPLICATION", 5: "CUESHEET", 6: "PICTURE"}
_MOST, _LONGEST = 1000, 1 << 20  # chunks looked at, and bytes of one that is read
_PADDING = 1 << 16  # zeros at the end, up to which they are no samples
_UNKNOWN = {"RIFF": 0x7FFFF000, "RIFX": 0x7FFFF000, "FORM": 0x7FFFF000, "RF64": 2**62, "BW64": 2**62, "W64": 2**62}
CREDIT = re.compile(r" \(libsndfile-[\w.]+\)$")  # what libsndfile adds to the tag `software`
MOST_KEPT = 1 << 20  # bytes of all chunks that are kept


class Chunk(NamedTuple):
    """Where the content of a chunk begins, and the bytes it should have."""

    name: str
    start: int
    said: int


class Parts(NamedTuple):
    """The chunks of a file.

    Attributes:
        kind: ``RIFF``, ``RIFX``, ``RF64``, ``BW64``, ``FORM``, ``W64``.
        chunks: in their order; the last one may reach beyond the end.
        size: of the file.
        rest: bytes at the end that are no chunks.
        format: the content of the chunk ``fmt``, at most 40 bytes of it; empty where there is none.
        samples: the chunk that holds the samples.
    """

    kind: str
    chunks: tuple[Chunk, ...]
    size: int
    rest: int
    format: bytes
    samples: Chunk

    @property
    def there(self) -> int:
        """Bytes from the first sample to the file's end."""
        return self.size - self.samples.start

    @property
    def streamed(self) -> bool:
        """Whether the header does not know how long the samples are, as of files written to a pipe or beyond 4 GiB."""
        said, more = self.samples.said, self.there - self.samples.said
        if said == 0:
            return more > 0 and self.samples == self.chunks[-1]
        return (more < 0 and said >= _UNKNOWN[self.kind]) or (self.rest > 0 and more % 2**32 == 0)

    @property
    def part(self) -> int:
        """Bytes at the end of the samples that are less than one sample of all channels, 0 where that is not known."""
        align = int.from_bytes(self.format[12:14], "little") if self.kind in ("RIFF", "RF64", "BW64") else 0
        coded = self.format[:2] not in (b"\1\0", b"\3\0", b"\xfe\xff")
        return 0 if align == 0 or coded else min(self.samples.said, self.there) % align


class Patched(io.FileIO):
    """A file to read in which some bytes are others."""

    def __init__(self, path: Path, patches: dict[int, bytes]) -> None:
        super().__init__(path)
        self._patches = patches

    def readinto(self, buffer: Any) -> int | None:
        """As of every file."""
        at, view = self.tell(), memoryview(buffer).cast("B")
        count = super().readinto(view)
        for place, data in self._patches.items():
            low, high = max(at, place), min(at + (count or 0), place + len(data))
            if low < high:
                view[low - at : high - at] = data[low - place : high - place]
        return count


def scan(path: Path) -> Parts | None:
    """The chunks of a file; None where it has none, or none with samples.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head, size = file.read(40), path.stat().st_size
        kind = head[:4].decode("latin-1")
        if head[:4] == b"riff" and head[24:28] == b"wave":
            kind, found = "W64", _walk(file, 40, size, "little", wide=True)
        elif kind in ("RIFF", "RIFX", "RF64", "BW64") and head[8:12] == b"WAVE":
            found = _walk(file, 12, size, "big" if kind == "RIFX" else "little")
        elif kind == "FORM" and head[8:12] in (b"AIFF", b"AIFC"):
            found = _walk(file, 12, size, "big")
        else:
            return None
        chunks = list(found)
        if kind in ("RF64", "BW64") and chunks and chunks[0].name == "ds64":
            file.seek(chunks[0].start + 8)
            said = int.from_bytes(file.read(8), "little")
            chunks = [
                one._replace(said=said) if one.name == "data" and one.said == 2**32 - 1 else one for one in chunks
            ]
            behind = chunks[-1].start + chunks[-1].said
            chunks += _walk(file, behind + behind % 2, size, "little") if chunks[-1].name == "data" else ()
        samples = next((chunk for chunk in chunks if chunk.name == _SAMPLES[kind]), None)
        if samples is None:
            return None
        form = next((chunk for chunk in chunks if chunk.name == "fmt "), Chunk("fmt ", size, 0))
        file.seek(form.start)
        described = file.read(min(form.said, 40))
        end = max(chunk.start + chunk.said for chunk in chunks)
        file.seek(min(end, size))
        tail = file.read(_PADDING + 1)
        rest = size - end if len(tail) > _PADDING or tail.strip(b"\0") else 0
    return Parts(kind, tuple(chunks), size, rest, described, samples)


def _walk(file: IO[bytes], at: int, size: int, order: Any, wide: bool = False) -> Iterator[Chunk]:
    """Chunks from ``at`` on, up to the first thing that is none; of W64 with ``wide`` names and sizes."""
    head = 24 if wide else 8
    for _ in range(_MOST):
        if at + head > size:
            return
        file.seek(at)
        read = file.read(head)
        name, said = read[:4], int.from_bytes(read[16:24] if wide else read[4:8], order) - (head if wide else 0)
        if said < 0 or not re.fullmatch(rb"[ -~]{4}", name):
            return
        at += head
        if name.decode() not in _USED and at + said > size:
            return  # no chunk, but letters by chance
        yield Chunk(name.decode(), at, said)
        at += said + (-said % 8 if wide else said % 2)


def corrected(path: Path, parts: Parts) -> Patched | None:
    """A file whose header says how long it is, and RF64 where it said BW64; None where libsndfile reads it as it is."""
    named = {0: b"RF64"} if parts.kind == "BW64" else {}
    patches = named | (_lengths(parts) if parts.streamed else {})
    return Patched(path, patches) if patches else None


def _lengths(parts: Parts) -> dict[int, bytes]:
    """Places in the header of a streamed file, and what should be there."""
    place, size, there = parts.samples.start, parts.size, parts.there
    if parts.kind in ("RIFF", "RIFX"):
        order: Any = "big" if parts.kind == "RIFX" else "little"
        return {at: min(value, 2**32 - 1).to_bytes(4, order) for at, value in ((4, size - 8), (place - 4, there))}
    align = max(int.from_bytes(parts.format[12:14], "little"), 1)
    at = parts.chunks[0].start
    return {at: b"".join(value.to_bytes(8, "little") for value in (size - 8, there, there // align))}


def others(path: Path, parts: Parts | None, tags: Collection[str]) -> dict[str, bytes | None]:
    """What a file holds beside samples and ``tags``, the texts that libsndfile hands out, by name.

    Returns:
        The content of whole chunks of WAV files, None for all that cannot be put back, such as ``INFO/IENG``.

    Raises:
        OSError: it cannot be read.
    """
    found: dict[str, bytes | None] = {}
    room = MOST_KEPT
    with path.open("rb") as file:
        if parts is None:
            return dict.fromkeys(_flac_blocks(file, tags)) if file.read(4) == b"fLaC" else {}
        for chunk in parts.chunks:
            if chunk.name in _USED:
                continue
            file.seek(chunk.start)
            content = file.read(min(chunk.said, _LONGEST))
            whole = parts.kind in ("RIFF", "RF64", "BW64") and len(content) == chunk.said <= room
            if parts.kind == "FORM":
                text = _text(content[4:] if chunk.name == "APPL" else content)
                found |= {} if chunk.name in _TEXTS and text in tags else {chunk.name: None}
            elif chunk.name == "LIST" and content[:4] == b"INFO":
                found |= dict.fromkeys(_infos(content, "big" if parts.kind == "RIFX" else "little", tags))
            elif chunk.name in found or not whole:
                found[chunk.name] = None
            else:
                found[chunk.name] = content
                room -= chunk.said
    return found


def is_other(name: object) -> bool:
    """Whether a chunk of such a name may be put into a WAV file beside its samples."""
    return isinstance(name, str) and bool(re.fullmatch("[ -~]{4}", name)) and name not in _USED | {"RIFF", "RF64"}


def flac_digest(path: Path) -> tuple[int, bytes] | None:
    """Bits of a sample of a FLAC file and MD5 of its samples, as its header says; None where it says none (RFC 9639).

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(42)
    if head[:4] != b"fLaC" or len(head) < 42 or not any(head[26:]):
        return None
    return (int.from_bytes(head[20:22], "big") >> 4 & 31) + 1, head[26:]


def _infos(content: bytes, order: Any, tags: Collection[str]) -> Iterator[str]:
    """Texts of a list ``INFO`` that are not among ``tags``."""
    for chunk in _walk(io.BytesIO(content), 4, len(content), order):
        text = _text(content[chunk.start : chunk.start + chunk.said])
        if text and text not in tags:
            yield f"INFO/{chunk.name}"


def _flac_blocks(file: IO[bytes], tags: Collection[str]) -> Iterator[str]:
    """Blocks of a FLAC file, behind its first four bytes, and comments that are not among ``tags`` (RFC 9639)."""
    last = False
    while not last:
        head = file.read(4)
        if len(head) < 4:
            return
        last, kind, said = bool(head[0] & 128), head[0] & 127, int.from_bytes(head[1:], "big")
        start = file.tell()
        if kind in _BLOCKS:
            yield _BLOCKS[kind]
        elif kind == 4:
            for comment in _comments(file.read(min(said, _LONGEST))):
                name, _, text = comment.partition("=")
                if text and CREDIT.sub("", text) not in tags:
                    yield f"VORBIS_COMMENT/{name[:40]}"
        file.seek(start + said)


def _comments(content: bytes) -> Iterator[str]:
    at = 4 + int.from_bytes(content[:4], "little")
    count, at = int.from_bytes(content[at : at + 4], "little"), at + 4
    for _ in range(min(count, _MOST)):
        said = int.from_bytes(content[at : at + 4], "little")
        yield content[at + 4 : at + 4 + said].decode("utf-8", "replace")
        at += 4 + said


def _text(content: bytes) -> str:
    text = content.rstrip(b"\0")
    try:
        return CREDIT.sub("", text.decode("utf-8"))
    except UnicodeDecodeError:
        return text.decode("latin-1")

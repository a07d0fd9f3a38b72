"""Which model a verb works with: the one that was named, or a known one that fits the file or the stream."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liveaction.errors import FormatError
from liveaction.home import KnownModel, choose_by_hand, default_model, resolve_model


@dataclass(frozen=True)
class Chosen:
    """A model directory; ``known`` and ``why`` are there where nobody named it."""

    folder: Path
    known: KnownModel | None = None
    why: str = ""

    def lines(self) -> list[str]:
        """What is said of a choice; nothing of what was named."""
        if self.known is None:
            return []
        return [f"model {self.known.name} ({self.known.folder}), {self.why}; --model takes another"]

    def fields(self) -> dict[str, Any]:
        """For JSON: nothing of what was named."""
        if self.known is None:
            return {}
        about = {"name": self.known.name, "digest": self.known.digest, "folder": str(self.known.folder)}
        return {"model": about | {"origin": self.known.origin, "why": self.why}}


def model_for_files(model: Path | None, source: Path) -> Chosen:
    """The model that was named, or the known one for what a file or a folder holds.

    Raises:
        SpecError: nobody can say what it holds, or several models fit.
        FormatError: it cannot be read, or is a folder of several modalities.
        UnknownNameError: there is no such model, or none for this modality.
    """
    if model is not None:
        return Chosen(resolve_model(model))
    from liveaction.modalities.guess import guess_modality

    found = guess_modality(source)
    if found is None:
        kind = f"{source.suffix} files" if source.suffix and not source.is_dir() else "what may be several modalities"
        raise choose_by_hand(str(source), kind)
    known = default_model(found.modality, str(source), found.why)
    return Chosen(known.folder, known, f"for {found.modality} ({found.why})")


def model_for_streams(model: Path | None, source: Path) -> Chosen:
    """The model that was named, or the known one that a stream, or the first whole stream of a folder, was made with.

    Raises:
        FormatError: no stream.
        UnknownNameError: there is no such model.
    """
    if model is not None:
        return Chosen(resolve_model(model))
    from liveaction.codec.homed import known_for

    stream = _first_stream(source)
    known = known_for(stream)
    return Chosen(known.folder, known, f"as {stream} says")


def _first_stream(source: Path) -> Path:
    """The file itself; of a folder the first stream whose header can be read, of the others their work says so."""
    from liveaction.archive.find import streams_below
    from liveaction.codec.homed import header_of

    streams = streams_below(source) if source.is_dir() else []
    for stream in streams:
        with suppress(FormatError, OSError):
            header_of(stream)
            return stream
    if source.is_dir() and not streams:
        raise FormatError(f"{source}: expected .lva files, got none; check the folder")
    return streams[0] if streams else source

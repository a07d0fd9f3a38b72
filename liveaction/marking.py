"""The mark of a picture that an image generator had a hand in, and who may not be shown one unasked.

The term is IPTC's `Digital Source Type <https://cv.iptc.org/newscodes/digitalsourcetype/>`_, which C2PA's assertion
``c2pa.actions`` takes, too. It stands in XMP as ``Iptc4xmpExt:DigitalSourceType``, and in a plain comment.
"""

import mmap
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from liveaction.errors import SpecError

COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""The term: what was captured, with what a trained model made up."""

_TERM = re.compile(rb"digitalsourcetype/(?:trained|compositeWithTrained)AlgorithmicMedia")
_NAMESPACE = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XMP, _COMMENT, _END = "XML:com.adobe.xmp", "Comment", "</rdf:RDF>"
_OLD = (
    re.compile(r"\s[\w.-]+:DigitalSourceType\s*=\s*(\"[^\"]*\"|'[^']*')"),
    re.compile(r"<([\w.-]+:DigitalSourceType)\b(?:[^>]*/>|.*?</\1\s*>)", re.DOTALL),
)
_SUFFIXES = (".png", ".tif", ".tiff", ".ppm", ".pgm", ".pnm", ".jpg", ".jpeg", ".webp")


def marked(metadata: dict[str, Any], words: str = "") -> dict[str, Any]:
    """Metadata of a picture, with the mark in its XMP and in its comment; all else stays, another source type goes.

    Args:
        metadata: as :func:`~liveaction.modalities.image.files.read_image` gives them.
        words: what was done, a line.
    """
    text = dict(metadata.get("text", {}))
    about = (
        f'<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="{_NAMESPACE}">'
        f"<Iptc4xmpExt:DigitalSourceType>{escape(COMPOSITE)}</Iptc4xmpExt:DigitalSourceType></rdf:Description>"
    )
    packet = text.get(_XMP, "")
    for old in _OLD:
        packet = old.sub("", packet)
    before, end, after = packet.rpartition(_END)
    if not end:  # none, or one of other words than everybody's
        before = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}">'
        after = "</x:xmpmeta>"
    text[_XMP] = f"{before}{about}{_END}{after}"
    line = f"Synthesised ({COMPOSITE}){': ' if words else ''}{words}"
    text[_COMMENT] = f"{text[_COMMENT]}\n{line}" if text.get(_COMMENT) else line
    return {**metadata, "text": text}


def is_marked(metadata: dict[str, Any]) -> bool:
    """Whether metadata say that a generator made the picture, or a part of it."""
    text = metadata.get("text")
    return isinstance(text, dict) and any(_TERM.search(str(words).encode()) for words in text.values())


def is_marked_file(path: Path) -> bool:
    """Whether the bytes of a picture's file say so, by the term wherever it stands: XMP, a comment, a C2PA manifest.

    False of what is no picture by its name, or cannot be read: whoever reads it says so.
    """
    if path.suffix.lower() not in _SUFFIXES:
        return False
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _TERM.search(data) is not None
    except (OSError, ValueError):
        return False


def refuse_marked(where: str, files: Iterable[Path], way: str) -> None:
    """Refuse originals, or what is compared with them, that carry the mark: such a measure says nothing of a codec.

    Args:
        where: stands first in the message.
        files: that are to be compared; of other kinds than pictures none is refused.
        way: out of it.

    Raises:
        SpecError: one of them carries it.
    """
    for path in files:
        if is_marked_file(path):
            raise SpecError(
                f"{where}: expected a picture as it was captured, got one marked as synthesised, {str(path)!r}; {way}"
            )

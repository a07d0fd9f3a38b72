"""Text on pages, read by an OCR engine."""

import numpy as np

from liveaction.evaluation.judges.base import Judge, require
from liveaction.signal import Signal


class DocumentText(Judge):
    """RapidOCR with the PP-OCR networks in its wheel; says the lines of a page from top to bottom.

    The score is one minus the character error rate: edits (Levenshtein) over the label's length, white space of any
    kind as one blank; 0 where there are more edits than characters.

    Raises:
        SpecError: the package, or ``onnxruntime``, is not installed.
    """

    name = "document_text"
    label = "text on pages, RapidOCR"
    measure = "characters_right"

    def __init__(self) -> None:
        self.library = f"{require('rapidocr', self.name)}, {require('onnxruntime', self.name)}"
        from rapidocr import RapidOCR

        one = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
        self._read = RapidOCR(params={"Global.log_level": "critical", **one})

    def refuses(self, signal: Signal, modality: str) -> str | None:
        """All but grey and colour pictures of integers."""
        channels, dtype = signal.values.shape[0], np.dtype(signal.dtype)
        if len(signal.axes) == 2 and channels in (1, 3) and dtype.kind == "u":
            return None
        return f"no grey or colour picture of integers: {channels} channels of {dtype}, axes {signal.axes}"

    def predict(self, signal: Signal) -> str:
        """Lines of text; empty where none is found."""
        most = 2 ** (signal.bits or 8 * np.dtype(signal.dtype).itemsize) - 1
        pixels = np.rint(signal.filled().astype(np.float32) * (255 / most)).clip(0, 255).astype(np.uint8)
        three = np.broadcast_to(pixels, (3, *pixels.shape[1:]))
        found = self._read(np.ascontiguousarray(three.transpose(1, 2, 0)[..., ::-1]))  # BGR, as OpenCV has it
        return "\n".join(found.txts or ())

    def score(self, prediction: str, label: str) -> float:
        """One minus the character error rate, at least 0; for an empty label 1 where nothing is read."""
        said, right = (" ".join(text.split()) for text in (prediction, label))
        return max(0.0, 1 - edits(said, right) / len(right)) if right else float(not said)


def edits(one: str, two: str) -> int:
    """Characters to put in, take out or change to make one text of the other (Levenshtein 1965)."""
    wanted = np.array([ord(char) for char in two])
    places = np.arange(len(two) + 1)
    row = places.copy()
    for number, char in enumerate(one, 1):
        changed = np.minimum(row[:-1] + (wanted != ord(char)), row[1:] + 1)
        row = np.minimum.accumulate(np.concatenate([[number], changed]) - places) + places
    return int(row[-1])

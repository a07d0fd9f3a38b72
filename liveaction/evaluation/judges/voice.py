"""Where somebody speaks, frame by frame."""

import numpy as np

from liveaction.evaluation.judges.base import Judge, require
from liveaction.evaluation.judges.sounds import RATE, refuses_sound, speech_of
from liveaction.signal import Signal

_FRAME = 512  # samples, 32 ms
_LIKELY = 0.5


class VoiceActivity(Judge):
    """Silero's voice detector, whose network is in its wheel; says "0" or "1" for each 32 ms.

    With ``--labels original`` the score is the share of frames in which decoded sound is taken for what the original is
    taken for.

    Raises:
        SpecError: the package, or ``onnxruntime``, is not installed.
    """

    name = "voice_activity"
    label = "voice activity, Silero"
    measure = "frames_right"

    def __init__(self) -> None:
        self.library = f"{require('silero-vad', self.name)}, {require('onnxruntime', self.name)}"
        from silero_vad import load_silero_vad

        self._model = load_silero_vad(onnx=True)

    def refuses(self, signal: Signal, modality: str) -> str | None:
        """All but sound."""
        return refuses_sound(signal)

    def predict(self, signal: Signal) -> str:
        """A digit per frame, the last one filled up with silence."""
        import torch

        sound = speech_of(signal)
        frames = np.pad(sound, (0, -len(sound) % _FRAME)).reshape(-1, _FRAME)
        self._model.reset_states()
        likely = [float(self._model(torch.from_numpy(frame), RATE)) for frame in frames]
        return "".join("1" if share >= _LIKELY else "0" for share in likely)

    def score(self, prediction: str, label: str) -> float:
        """The share of frames that are equal; frames that only one of them has are not."""
        longest = max(len(prediction), len(label))
        return sum(a == b for a, b in zip(prediction, label, strict=False)) / longest if longest else 1.0

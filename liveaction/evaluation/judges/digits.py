"""Spoken digits, by a speech recogniser that may say nothing but one of the ten."""

import numpy as np

from liveaction.evaluation.judges.base import Judge, require
from liveaction.evaluation.judges.sounds import RATE, refuses_sound, speech_of
from liveaction.signal import Signal

_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_GRAMMAR = f"#JSGF V1.0;\ngrammar digits;\npublic <digit> = {' | '.join(_WORDS)};\n"
_SILENCE = RATE // 5  # samples on both sides, which the recogniser's models of silence need


class SpokenDigits(Judge):
    """PocketSphinx with the model of American English in its wheel and a grammar of ten words; says "0" to "9".

    It has to choose one, of silence, too. Narrow-band sound is taken for what it is at 16 kHz.

    Raises:
        SpecError: the package is not installed.
    """

    name = "spoken_digits"
    label = "spoken digits, PocketSphinx en-us"
    classes = tuple(map(str, range(len(_WORDS))))

    def __init__(self) -> None:
        self.library = require("pocketsphinx", self.name)
        from pocketsphinx import Decoder

        self._decoder = Decoder(samprate=RATE, lm=None, loglevel="FATAL")
        self._decoder.add_jsgf_string("digits", _GRAMMAR)
        self._decoder.activate_search("digits")

    def refuses(self, signal: Signal, modality: str) -> str | None:
        """All but sound."""
        return refuses_sound(signal)

    def predict(self, signal: Signal) -> str:
        """A digit; rarely an empty text. What was heard before, which would bend its ears, is forgotten first."""
        quiet = np.zeros(_SILENCE, np.float32)
        sound = np.concatenate([quiet, speech_of(signal), quiet])
        decoder = self._decoder
        decoder.reinit_feat()
        decoder.start_utt()
        decoder.process_raw(np.rint(32768 * sound).clip(-32768, 32767).astype(np.int16).tobytes(), full_utt=True)
        decoder.end_utt()
        heard = decoder.hyp()
        return str(_WORDS.index(heard.hypstr)) if heard is not None and heard.hypstr in _WORDS else ""

"""Seeded phantoms of audio: talkers around a ring of microphones, and a few bars of music."""

import numpy as np
from numpy.typing import NDArray

from liveaction.modalities.audio.synthesis import (
    TURN,
    Wave,
    decay,
    delayed,
    line,
    noise,
    phase_of,
    points,
    rumble,
    sine,
    turns,
    uniform,
)

_RATE = 16000
_SOUND = 343.0  # m/s
_LEAD = 2048  # samples before the first, for delays
_WALLS = (2.9, -3.4, 2.2, -4.1)  # m: x, x, y, y
_TALKERS = 3


def array_phantom(seed: int, channels: int, samples: int) -> NDArray[np.int16]:
    """Talkers around a ring of microphones in a room, at 16 kHz.

    Three voices with pitch, formants and pauses, the first of them walking; each reaches every microphone of a ring of
    0.2 m by the straight way and by four walls, with its delay to a fraction of a sample and its loss with distance.
    Beside them diffuse noise from twelve directions, and every microphone's own.

    Returns:
        int16 ``[channels, samples]``.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    ring = [tuple(0.1 * part for part in turns(c / channels)) for c in range(channels)]
    heard = [np.zeros(samples) for _ in range(channels)]
    for talker in range(_TALKERS):
        voice = _voice(rng, samples + _LEAD + 8)
        x, y = _walk(rng, samples, moving=talker == 0)
        for c, (mx, my) in enumerate(ring):
            for u, v, share in _images(x, y):
                distance = np.sqrt((u - mx) * (u - mx) + (v - my) * (v - my) + 0.04)
                heard[c] += delayed(voice, _LEAD, distance * (_RATE / _SOUND), samples) * (share / distance)
    largest = max([1e-3, *(float(np.abs(wave).max()) for wave in heard)])
    level = uniform(rng, 4000, 14000) / largest
    heard = [wave * level for wave in heard]
    for _ in range(12):
        rumbling = rumble(rng, samples + 64, 24) * 14 + noise(rng, samples + 64) * 3
        dx, dy = turns(uniform(rng, 0, 1))
        for c, (mx, my) in enumerate(ring):
            heard[c] += delayed(rumbling, 32, (mx * dx + my * dy) * (_RATE / _SOUND), samples)
    return _integers([wave + 5 * noise(rng, samples) for wave in heard])


def _integers(waves: list[Wave]) -> NDArray[np.int16]:
    return np.stack([np.rint(wave).clip(-32768, 32767).astype(np.int16) for wave in waves])


def _walk(rng: np.random.Generator, samples: int, moving: bool) -> tuple[Wave | float, Wave | float]:
    """Where a talker is in m, per sample where it walks; outside the ring, inside the room."""
    count = samples // _RATE + 2 if moving else 1
    sides = (int(rng.integers(2)) * 2 - 1, int(rng.integers(2)) * 2 - 1)
    x, y = (points(rng, count, 0.7, 1.9) * side for side in sides)
    return (line(x, _RATE, samples), line(y, _RATE, samples)) if moving else (float(x[0]), float(y[0]))


def _images(x: Wave | float, y: Wave | float) -> list[tuple[Wave | float, Wave | float, float]]:
    """The talker and its mirror images in four walls: place, and the share of the sound that comes from there."""
    right, left, front, back = _WALLS
    return [
        (x, y, 1.0),
        (2 * right - x, y, 0.45),
        (2 * left - x, y, 0.4),
        (x, 2 * front - y, 0.5),
        (x, 2 * back - y, 0.35),
    ]


def _voice(rng: np.random.Generator, samples: int) -> Wave:
    """A voice: harmonics under moving formants, in syllables with hisses and pauses between."""
    syllable = int(rng.integers(1500, 2600))
    count = samples // syllable + 2
    pitch = points(rng, count, 0.85, 1.2) * uniform(rng, 95, 220)
    pitch = line(pitch, syllable, samples)
    formants = [line(points(rng, count, *span), syllable, samples) for span in ((280, 800), (900, 2300), (2400, 3300))]
    loud = points(rng, count, 0.3, 1) * (rng.integers(10, size=count) > 2)
    pause = np.repeat(rng.integers(6, size=count // 6 + 1) > 0, 6)[:count]
    voiced = line(loud * pause, syllable, samples)
    phase = phase_of(pitch, _RATE)
    wave = np.zeros(samples)
    for harmonic in range(1, 33):
        frequency = harmonic * pitch
        weight = np.full(samples, 0.03)
        for formant, width, share in zip(formants, (90.0, 130.0, 220.0), (1.0, 0.6, 0.35), strict=True):
            away = (frequency - formant) / width
            weight = weight + share / (1 + away * away)
        wave += sine(harmonic * phase) * weight * (frequency < 0.45 * _RATE) * (1 / np.sqrt(float(harmonic)))
    hiss = line(points(rng, 2 * count, 0, 0.5) * (rng.integers(4, size=2 * count) == 0), syllable // 2, samples)
    rough = noise(rng, samples + 1)
    return wave * voiced + (rough[1:] - rough[:-1]) * hiss


_MUSIC_RATE = 44100
_NOTES = (
    1.0, 1.0594631, 1.1224620, 1.1892071, 1.2599210, 1.3348399, 1.4142136, 1.4983071, 1.5874011, 1.6817928, 1.7817974,
    1.8877486,
)  # fmt: skip
_SONGS = ((0, 5, 7, 0), (0, 9, 5, 7), (9, 5, 0, 7), (0, 2, 5, 7))  # roots of four bars
_MINOR = {2, 4, 9, 11}


def music_phantom(seed: int, channels: int, samples: int) -> NDArray[np.int16]:
    """A few bars at 44.1 kHz: sustained chords with harmonics, plucked notes, bass, and a beat, across the stage.

    Notes lie between the channels with the same loudness in all places; chords are two voices a little out of tune, one
    on each side, and everything comes back once from the other side.

    Returns:
        int16 ``[channels, samples]``.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    stage = _Stage(rng, channels, samples)
    beat = _MUSIC_RATE * 60 // int(rng.integers(84, 140))
    key, song = int(rng.integers(12)), _SONGS[int(rng.integers(len(_SONGS)))]
    for number, start in enumerate(range(0, samples, 4 * beat)):
        root = song[number % 4]
        third = 3 if root in _MINOR else 4
        chord = [key + root + step for step in (0, third, 7, 12)]
        _bar(stage, chord, start, beat)
    for start in range(0, samples, beat):
        _drums(stage, start, beat)
    return stage.mixed()


def _tone(note: int) -> float:
    """Hz of a note counted in semitones from the A of 110 Hz."""
    octave, step = divmod(note, 12)
    return 6.875 * _NOTES[step] * (1 << (octave + 4))


class _Stage:
    """Channels that sounds are placed in."""

    def __init__(self, rng: np.random.Generator, channels: int, samples: int) -> None:
        self.rng, self.samples = rng, samples
        self.waves = [np.zeros(samples) for _ in range(channels)]

    def add(self, wave: Wave, start: int, place: float) -> None:
        """Put a sound at ``place`` between the first channel, 0, and the last, 1."""
        wave = wave[: self.samples - start]
        for c, heard in enumerate(self.waves):
            near = 1 - abs(place * (len(self.waves) - 1) - c)
            if near > 0:
                heard[start : start + len(wave)] += wave * np.sqrt(near)

    def pluck(self, note: int, start: int, length: int, loud: float, place: float) -> None:
        """A string: harmonics that fade the faster the higher they are."""
        hertz, fade = _tone(note), decay(max(length // 5, 1), length)
        phase = np.arange(length) * int(hertz * (TURN / _MUSIC_RATE))
        envelope, wave = np.ones(length), np.zeros(length)
        for harmonic in range(1, 10):
            envelope = envelope * fade
            if harmonic * hertz < 0.45 * _MUSIC_RATE:
                wave += sine(harmonic * phase) * envelope * (1 / harmonic)
        self.add(wave * loud, start, place)

    def mixed(self) -> NDArray[np.int16]:
        """With an echo from the other side, at a level drawn from the seed, with noise of about one step."""
        echo = 2203
        both = [wave.copy() for wave in self.waves]
        for wave, other in zip(both, self.waves[::-1], strict=True):
            wave[echo:] += other[: max(self.samples - echo, 0)] * 0.22
        largest = max([1e-3, *(float(np.abs(wave).max()) for wave in both)])
        level = uniform(self.rng, 15000, 31000) / largest
        return _integers([wave * level + noise(self.rng, self.samples) for wave in both])


def _bar(stage: _Stage, chord: list[int], start: int, beat: int) -> None:
    """Sustained chord, bass and plucked notes of four beats."""
    length = 4 * beat
    swell = line(np.array([0.0, 0.8, 1.0, 0.9, 0.0, 0.0]), beat, length)
    for note in chord:
        for place, out in ((0.1, 0.9985), (0.9, 1.0015)):
            phase = np.arange(length) * int(_tone(note + 12) * out * (TURN / _MUSIC_RATE))
            wave = sine(phase) + sine(2 * phase) * 0.35 + sine(3 * phase) * 0.2 + sine(5 * phase) * 0.06
            stage.add(wave * swell * 0.16, start, place)
    for half in range(8):
        at = start + half * beat // 2
        if at < stage.samples and int(stage.rng.integers(5)) > 0:
            note = chord[int(stage.rng.integers(4))] + 24
            stage.pluck(note, at, 2 * beat, uniform(stage.rng, 0.15, 0.4), uniform(stage.rng, 0.15, 0.85))
    for at in (start, start + 2 * beat, start + 7 * beat // 2):
        if at < stage.samples:
            stage.pluck(chord[0] - 12, at, beat, 0.6, 0.5)


def _drums(stage: _Stage, start: int, beat: int) -> None:
    """One beat: kick or snare on it, hats on it and halfway."""
    rng, even = stage.rng, start // beat % 2 == 0
    length = 9000
    if even:
        sweep = phase_of(45 + 110 * decay(900, length), _MUSIC_RATE)
        stage.add(sine(sweep) * decay(2200, length) * 0.9, start, 0.5)
    else:
        skin = sine(np.arange(length) * int(185 * (TURN / _MUSIC_RATE))) * decay(1300, length)
        stage.add((noise(rng, length) * 0.2 + skin * 0.4) * decay(2000, length), start, 0.5)
    for at in (start, start + beat // 2):
        rough = noise(rng, 4001)
        if at < stage.samples:
            stage.add((rough[1:] - rough[:-1]) * decay(500, 4000) * 0.07, at, 0.7)

"""What modalities show of an original and of reconstructions of it."""

from dataclasses import replace

import numpy as np
import pytest

from liveaction.errors import ShapeError
from liveaction.modalities.exhibit import Picture, Sound
from liveaction.modalities.exhibit_pixels import to_picture
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality

# a recipe, extents of the phantom, how many pictures and sounds
CASES = [
    ("ct_smoke", (63, 65, 17), 4, 0),
    ("mri_smoke", (31, 33, 35), 3, 0),
    ("series_smoke", (5, 33, 31, 9), 4, 0),
    ("hyperspectral_smoke", (33, 31, 29), 2, 0),
    ("hyperspectral_bands", (33, 31), 2, 0),
    ("video_smoke", (9, 63, 65), 3, 0),
    ("video_smoke", (1, 7, 9), 1, 0),
    ("rgb_smoke", (63, 65), 2, 0),
    ("grey_smoke", (7, 300), 2, 0),
    ("array_audio_smoke", (16001,), 1, 2),
    ("music_smoke", (1,), 1, 1),
    ("array_smoke", (17, 33, 5), 1, 0),
    ("array_4d_smoke", (3, 9, 5, 7), 1, 0),
]


def _noisy(signal):
    """The signal with noise of a fifth of its spread, in its dtype, nothing missing moved."""
    wide = signal.values.astype(np.float64)
    spread = max(float(np.nanstd(wide)), 1.0)
    noise = np.random.default_rng(3).standard_normal(wide.shape) * 0.2 * spread
    dtype = np.dtype(signal.dtype)
    changed = wide + noise
    if dtype.kind in "iu":
        changed = np.rint(changed).clip(np.iinfo(dtype).min, np.iinfo(dtype).max)
    if signal.missing is not None:
        changed = np.where(signal.missing, wide, changed)
    return replace(signal, values=changed.astype(dtype))


def _content(exhibit):
    return exhibit.pixels if isinstance(exhibit, Picture) else exhibit.samples


@pytest.mark.parametrize(("recipe", "extents", "pictures", "sounds"), CASES, ids=[f"{c[0]}-{c[1]}" for c in CASES])
def test_exhibits_of_original_and_reconstruction_can_be_compared(recipe, extents, pictures, sounds):
    modality = build_modality(load_recipe(recipe).modality)
    original = modality.synthetic(5, extents)
    back = _noisy(original)
    before, after = modality.exhibits(original, original), modality.exhibits(back, original)
    assert [type(e) for e in before].count(Picture) == pictures
    assert [type(e) for e in before].count(Sound) == sounds
    assert len({e.name for e in before}) == len(before)
    for one, two in zip(before, after, strict=True):
        assert (type(one), one.name, _content(one).shape) == (type(two), two.name, _content(two).shape)
        if original.values.size > 100:
            assert not np.array_equal(_content(one), _content(two)), one.name
        if isinstance(one, Picture):
            assert one.pixels.dtype == np.uint8
            assert one.pixels.ndim == 2 or one.pixels.shape[2] == 3
            assert one.aspect == two.aspect > 0
        else:
            assert one.samples.dtype == np.float32
            assert np.abs(two.samples).max() <= 1


def test_a_reconstruction_of_another_shape_is_refused():
    for recipe, extents, *_ in CASES:
        modality = build_modality(load_recipe(recipe).modality)
        signal = modality.synthetic(5, tuple(n + 1 for n in extents))
        with pytest.raises(ShapeError, match=r"expected a signal of the original's shape .*; take the original"):
            modality.exhibits(signal, modality.synthetic(5, extents))


def test_ct_planes_are_upright_and_keep_millimetres():
    modality = build_modality(load_recipe("ct_smoke").modality)
    signal = modality.synthetic(1, (32, 32, 8))
    signal = replace(signal, spacing=(1.0, 1.0, 5.0))
    affine = np.diag([1.0, 1.0, 5.0, 1.0]).tolist()
    values = np.full_like(signal.values, -1000)
    values[0, 8:24, 8:24, :] = 0
    values[0, 20:24, 8:24, :] = 1000  # towards +x, the patient's right
    values[0, 8:24, 20:24, :] = 500  # towards +y, the front
    values[0, 8:24, 8:24, 6:] = 800  # towards +z, the head
    signal = replace(signal, values=values, metadata={**signal.metadata, "affine": affine})
    soft, _, coronal, sagittal = modality.exhibits(signal, signal)
    assert soft.pixels.shape == (32, 32)
    assert soft.pixels[:16].mean() > soft.pixels[16:].mean(), "the front is up"
    assert coronal.pixels.shape == sagittal.pixels.shape == (8, 32)
    assert coronal.aspect == sagittal.aspect == 5.0
    assert coronal.pixels[:2, 10:22].mean() > coronal.pixels[3:, 10:19].mean(), "the head is up"
    assert coronal.pixels[4, :16].mean() > coronal.pixels[4, 16:].mean(), "the patient's right is on the left"
    assert "soft tissue window" in soft.name


def test_shades_follow_the_original_alone():
    modality = build_modality(load_recipe("mri_smoke").modality)
    original = modality.synthetic(2, (24, 24, 24))
    darker = replace(original, values=(original.values // 2).astype(original.values.dtype))
    before, after = modality.exhibits(original, original), modality.exhibits(darker, original)
    for one, two in zip(before, after, strict=True):
        assert two.pixels.mean() < 0.7 * one.pixels.mean()


def test_the_liveliest_frame_is_found():
    modality = build_modality(load_recipe("video_smoke").modality)
    clip = modality.synthetic(1, (12, 16, 16))
    values = np.repeat(clip.values[:, :1], 12, axis=1)
    values[:, 9:] = 255 - values[:, 9:]
    names = [e.name for e in modality.exhibits(replace(clip, values=values), replace(clip, values=values))]
    assert names == ["frame 1 of 12, the first", "frame 7 of 12, the middle one", "frame 10 of 12, the liveliest"]


def test_large_frames_become_means_over_blocks():
    shown = np.random.default_rng(0).random((1301, 2000, 3))
    picture = to_picture("a frame", shown, most=1280)
    assert picture.pixels.shape == (651, 1000, 3)
    assert picture.aspect == 1.0
    assert abs(int(picture.pixels[3, 5, 1]) - 255 * shown[6:8, 10:12, 1].mean()) <= 0.51
    flat = to_picture("a line", shown[:1, :, 0], most=1000)
    assert flat.pixels.shape == (1, 1000)
    assert flat.aspect == 0.5


def test_sound_is_ten_seconds_at_a_rate_that_browsers_play():
    modality = build_modality(load_recipe("music_smoke").modality)
    music = modality.synthetic(1, (2 * 96000,))
    time = np.arange(15 * 96000) / 96000
    loud = np.where((time > 4) & (time < 15), 1.0, 0.02)
    tone = (1000 * loud * np.sin(2 * np.pi * 440 * time)).astype(np.int16)
    music = replace(music, values=np.stack([tone, tone // 2]), spacing=(1 / 96000,))
    sound, spectrogram = modality.exhibits(music, music)
    assert sound.name == "left and right, +27 dB"
    assert sound.rate == 48000
    assert sound.samples.shape == (2, 480000)
    rms = np.sqrt(np.mean(np.square(sound.samples[0, :1000])))
    assert rms > 0.3, "the loud stretch was taken"
    spectrum = np.abs(np.fft.rfft(sound.samples[0, :48000]))
    assert int(spectrum.argmax()) == 440
    assert spectrogram.name == "spectrogram of channel 1, 0 to 48 kHz, 10.00 s"
    assert spectrogram.pixels[-20:].max() > 200 > spectrogram.pixels[:20].max()

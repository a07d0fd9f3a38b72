"""Exhibits in folders and back."""

import json

import numpy as np
import pytest

from liveaction.errors import FormatError, ShapeError
from liveaction.evaluation.exhibits import folder_of_item, folder_of_source, load_exhibits, read_index, save_exhibits
from liveaction.modalities.exhibit import Picture, Sound


def _some():
    rng = np.random.default_rng(0)
    return [
        Picture("grey <1>", rng.integers(0, 256, (7, 65), dtype=np.uint8), 2.5),
        Picture("colour", rng.integers(0, 256, (1, 1, 3), dtype=np.uint8)),
        Sound("tone", rng.uniform(-1, 1, (2, 333)).astype(np.float32), 16000),
    ]


def test_pictures_come_back_exactly_and_sound_to_sixteen_bits(tmp_path):
    saved = _some()
    save_exhibits(saved, tmp_path / "deep" / "folder")
    loaded = load_exhibits(tmp_path / "deep" / "folder")
    assert [(type(e), e.name) for e in loaded] == [(type(e), e.name) for e in saved]
    for one, two in zip(saved[:2], loaded[:2], strict=True):
        assert np.array_equal(one.pixels, two.pixels)
        assert one.aspect == two.aspect
    assert loaded[2].rate == 16000
    assert np.abs(loaded[2].samples - saved[2].samples).max() <= 0.51 / 32767
    save_exhibits(saved[:1], tmp_path / "deep" / "folder")
    assert len(load_exhibits(tmp_path / "deep" / "folder")) == 1, "a folder is replaced as a whole"
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == ["folder"]
    assert sorted(p.name for p in (tmp_path / "deep" / "folder").iterdir()) == ["0.png", "index.json"]


@pytest.mark.parametrize("count", [1, 2, 255, 256, 257])
def test_few_colours_take_a_palette_and_come_back_exactly(count, tmp_path):
    rng = np.random.default_rng(count)
    palette = rng.permutation(2**24)[:count]
    colours = np.stack([palette >> 16, palette >> 8 & 255, palette & 255], axis=1).astype(np.uint8)
    which = np.concatenate([np.arange(count), rng.integers(0, count, 65 * 63 - count)])
    pixels = colours[which].reshape(65, 63, 3)
    save_exhibits([Picture("p", pixels)], tmp_path / "e")
    assert ((tmp_path / "e" / "0.png").stat().st_size < 8000) == (count <= 256)
    (back,) = load_exhibits(tmp_path / "e")
    assert np.array_equal(back.pixels, pixels)


def test_what_is_not_there_is_empty(tmp_path):
    assert load_exhibits(tmp_path / "none") == []


def test_damage_is_named(tmp_path):
    save_exhibits(_some(), tmp_path / "e")
    (tmp_path / "e" / "0.png").write_bytes((tmp_path / "e" / "0.png").read_bytes()[:40])
    with pytest.raises(FormatError, match=r"expected a whole file of a picture, got a damaged one; save the exhibits"):
        load_exhibits(tmp_path / "e")
    save_exhibits(_some(), tmp_path / "e")
    (tmp_path / "e" / "2.flac").write_bytes(b"fLaC")
    with pytest.raises(FormatError, match=r"expected a whole file of a sound, got a damaged one"):
        load_exhibits(tmp_path / "e")
    (tmp_path / "e" / "2.flac").unlink()
    with pytest.raises(FormatError, match=r"expected the file '2.flac' of its index, got none; save"):
        read_index(tmp_path / "e")
    index = tmp_path / "e" / "index.json"
    outside = [{"kind": "picture", "name": "x", "file": "../secret.png", "aspect": 1}]
    index.write_text(json.dumps({"format": 1, "exhibits": outside}))
    with pytest.raises(FormatError, match=r"expected an index of exhibits, got something else"):
        read_index(tmp_path / "e")
    index.unlink()
    with pytest.raises(FormatError, match=r"expected an index of exhibits, got none"):
        read_index(tmp_path / "e")


@pytest.mark.parametrize(
    ("exhibit", "words"),
    [
        (Picture("p", np.zeros((3, 3), np.float32)), "expected uint8 pixels .*, got float32"),
        (Picture("p", np.zeros((3, 3, 4), np.uint8)), "expected uint8 pixels .*, got uint8 \\(3, 3, 4\\)"),
        (Sound("s", np.zeros((3, 9), np.float32), 8000), "expected samples \\[1 or 2, T\\], got \\(3, 9\\)"),
    ],
)
def test_what_cannot_be_kept_is_refused(exhibit, words, tmp_path):
    with pytest.raises(ShapeError, match=words):
        save_exhibits([exhibit], tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_every_item_has_a_folder_of_its_own(measured, tmp_path):
    folders = {folder_of_item(tmp_path, item) for item in measured} | {
        folder_of_source(tmp_path, item.source) for item in measured
    }
    assert len(folders) == len(measured) + 3

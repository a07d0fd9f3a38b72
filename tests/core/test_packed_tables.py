"""Entropy tables and mixing states that gzip packed: the same model in less room."""

import gzip
import shutil
from pathlib import Path

import pytest

import liveaction
from liveaction.codec.codec import build_codec
from liveaction.codec.homed import add_model
from liveaction.codec.weights import save_model
from liveaction.coding.mixing import fresh
from liveaction.errors import FormatError
from liveaction.model_folder import MIXING, PACKED, TABLES, content_digest, pack_tables, stored
from liveaction.recipe import load_recipe

NAMES = (TABLES, MIXING)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model directory with tables and states that no data fitted."""
    recipe = load_recipe("grey_sparse")
    codec = build_codec(recipe)
    for tree in codec.trees:
        tree.chunks.mixing = fresh()
    save_model(codec, recipe, tmp_path / "plain")
    return tmp_path / "plain"


def packed(folder: Path) -> Path:
    target = folder.parent / "packed"
    shutil.copytree(folder, target)
    assert pack_tables(target) > 0
    return target


def test_packing_keeps_the_model_and_saves_room(folder: Path) -> None:
    small = packed(folder)
    assert not any((small / name).exists() for name in NAMES)
    for name in NAMES:
        assert gzip.decompress((small / (name + PACKED)).read_bytes()) == (folder / name).read_bytes()
        assert content_digest(small / (name + PACKED)) == content_digest(folder / name)
        assert (small / (name + PACKED)).stat().st_size < (folder / name).stat().st_size / 2
    models = [liveaction.load(place, device="cpu") for place in (folder, small)]
    assert models[0].digest == models[1].digest
    for coder in ("fast", "small"):
        digests = [model.codec.coding_digest(coder) for model in models]
        assert digests[0] == digests[1]


def test_packing_again_changes_nothing_and_packs_to_equal_bytes(folder: Path) -> None:
    small = packed(folder)
    before = {path.name: path.read_bytes() for path in small.iterdir()}
    assert pack_tables(small) == 0
    assert before == {path.name: path.read_bytes() for path in small.iterdir()}
    pack_tables(folder)
    assert all((folder / (name + PACKED)).read_bytes() == before[name + PACKED] for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("change", ["flipped", "short", "longer", "large", "other", "none"])
def test_a_changed_file_is_one_line(folder: Path, name: str, change: str) -> None:
    path = packed(folder) / (name + PACKED)
    data = path.read_bytes()
    middle = len(data) // 2
    changed = {
        "flipped": data[:-8] + bytes([data[-8] ^ 1]) + data[-7:],  # its checksum
        "short": data[:middle],
        "longer": data + b"\0",
        "large": gzip.compress(bytes(1 << 26)),
        "other": gzip.compress(b"\xff" * 100),
        "none": b"",
    }
    path.write_bytes(changed[change])
    with pytest.raises(FormatError, match=rf"{name}\.gz: expected .*, got .*; liveaction freeze .* makes") as caught:
        liveaction.load(path.parent, device="cpu")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", NAMES)
def test_both_forms_in_one_folder_are_refused(folder: Path, name: str) -> None:
    small = packed(folder)
    shutil.copy(folder / name, small / name)
    with pytest.raises(FormatError, match=rf"{name}: expected it packed or not, got {name}\.gz beside it; remove"):
        liveaction.load(small, device="cpu")
    with pytest.raises(FormatError, match="expected it packed or not"):
        pack_tables(small)


def test_saving_takes_the_place_of_packed_files(folder: Path) -> None:
    small = packed(folder)
    model = liveaction.load(small, device="cpu")
    assert save_model(model.codec, model.recipe, small) == model.digest
    assert [stored(small / name) for name in NAMES] == [small / name for name in NAMES]
    assert all((small / name).read_bytes() == (folder / name).read_bytes() for name in NAMES)


def test_a_packed_copy_is_the_same_model_for_a_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEACTION_HOME", str(folder.parent / "home"))
    small = packed(folder)
    known, made = add_model(small, "mine")
    assert made and (known.folder / (TABLES + PACKED)).is_file()
    assert known.bytes == sum(path.stat().st_size for path in small.iterdir())
    assert add_model(folder, "mine") == (known, False)


def test_bundled_models_take_less_than_a_megabyte_each() -> None:
    bundled = [model for model in liveaction.known_models() if model.origin == "bundled"]
    assert len(bundled) == 8
    assert {model.name: model.bytes for model in bundled if model.bytes >= 1e6} == {}

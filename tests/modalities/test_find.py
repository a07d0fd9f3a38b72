"""What every modality finds under a path, how it says that there is nothing, and that a path may be text."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from liveaction.errors import FormatError
from liveaction.modalities.base import Modality
from liveaction.modalities.find import find_files
from liveaction.registry import build_modality
from liveaction.signal import Signal
from liveaction.spec import ModalitySpec

# name, axes, channels, suffix, extents
KINDS = [
    pytest.param("array", "yx", 1, ".npy", (5, 7), id="npy"),
    pytest.param("array", "yx", 1, ".zarr", (5, 7), id="zarr"),
    pytest.param("music", "t", 2, ".wav", (63,), id="audio"),
    pytest.param("ct", "xyz", 1, ".nii.gz", (5, 4, 3), id="ct"),
    pytest.param("grey", "yx", 1, ".png", (5, 7), id="image"),
    pytest.param("hyperspectral", ("band", "y", "x"), 1, ".hdr", (3, 5, 4), id="envi"),
    pytest.param("mri", "xyz", 1, ".nii", (5, 4, 3), id="mri"),
    pytest.param("series", "txyz", 1, ".nii", (2, 5, 4, 3), id="series"),
    pytest.param("video", "tyx", 3, ".mkv", (2, 8, 8), id="video"),
    pytest.param("video", "tyx", 3, "", (2, 8, 8), id="frames"),
]
kinds = pytest.mark.parametrize(("name", "axes", "channels", "suffix", "extents"), KINDS)


def _build(name: str, axes: Any, channels: int) -> Any:
    return build_modality(ModalitySpec(name=name, axes=tuple(axes), channels=channels, unit="", range=(0, 255)))


@kinds
def test_hidden_files_and_folders_are_left_out(
    tmp_path: Path, name: str, axes: Any, channels: int, suffix: str, extents: tuple[int, ...]
) -> None:
    modality = _build(name, axes, channels)
    signal = modality.synthetic(0, extents)
    shown = [tmp_path / "b" / f"one{suffix}", tmp_path / f"two{suffix}"]
    hidden = [tmp_path / f".three{suffix}", tmp_path / ".c" / f"four{suffix}", tmp_path / ".c" / "d" / f"five{suffix}"]
    for path in (*shown, *hidden):
        path.parent.mkdir(parents=True, exist_ok=True)
        modality.write(signal, path)
    assert modality.find(tmp_path) == shown
    assert modality.find(hidden[1]) == [hidden[1]]  # asked for by its name


@kinds
def test_what_is_not_there_is_said_alike(
    tmp_path: Path, name: str, axes: Any, channels: int, suffix: str, extents: tuple[int, ...]
) -> None:
    modality = _build(name, axes, channels)
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("words")
    for path, words in {
        tmp_path / f"nowhere{suffix}": "got no such path; check the spelling",
        tmp_path / "empty": "got an empty folder; check what was copied there",
        tmp_path / "texts": "got other files only; check what was copied there",
        tmp_path / "texts" / "a.txt": "got a file named 'a.txt'; convert it",
    }.items():
        with pytest.raises(FormatError, match=words) as caught:
            modality.find(str(path))
        assert str(caught.value).startswith(f"{path}: expected a") and "\n" not in str(caught.value)
    with pytest.raises(FormatError, match="got no such path"):
        modality.read(str(tmp_path / f"nowhere{suffix}"))


@kinds
def test_a_path_may_be_text(
    tmp_path: Path, name: str, axes: Any, channels: int, suffix: str, extents: tuple[int, ...]
) -> None:
    modality = _build(name, axes, channels)
    path, signal = tmp_path / f"a{suffix}", modality.synthetic(0, extents)
    modality.write(signal, path=str(path))
    np.testing.assert_array_equal(modality.read(str(path)).values, modality.read(path=path).values)
    assert modality.find(str(path)) == [path]
    assert modality.parts(str(path)) == modality.parts(path)


class Numbers(Modality):
    """One whole number per line, as a package outside would write it."""

    def find(self, path: Path) -> list[Path]:
        return find_files(path, "numbers (.num)", lambda file: file.suffix == ".num")

    def read(self, path: Path) -> Signal:
        values = np.array(path.read_text().split(), dtype=np.float32)[np.newaxis]
        return Signal(values, self.spec.axes, self.spec.unit, (1.0,), "float32")

    def write(self, signal: Signal, path: Path) -> None:
        path.write_text("\n".join(map(str, signal.values[0])))

    def synthetic(self, seed: int, extents: tuple[int, ...] | None = None) -> Signal:
        raise NotImplementedError


class Doubled(Numbers):
    """Overrides one method more, and calls the one above."""

    def read(self, path: Path) -> Signal:
        assert isinstance(path, Path)
        return super().read(path)


@pytest.mark.parametrize("kind", [Numbers, Doubled])
@pytest.mark.parametrize("form", [str, Path])
def test_a_modality_from_outside_gets_paths_and_is_drawn(
    tmp_path: Path, kind: type[Modality], form: Callable[[Path], Any]
) -> None:
    modality = kind(ModalitySpec(name="numbers", axes=("t",), channels=1, unit="mV", range=(0, 9)))
    (tmp_path / "a.num").write_text("1\n2\n3")
    signal = modality.read(form(tmp_path / "a.num"))
    modality.write(signal, form(tmp_path / "b.num"))
    assert modality.find(form(tmp_path)) == [tmp_path / "a.num", tmp_path / "b.num"]
    assert modality.parts(form(tmp_path / "a.num")) == [tmp_path / "a.num"]
    modality.preview(signal, signal, form(tmp_path / "a.png"))
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_items_that_are_folders_are_searched_or_not(tmp_path: Path) -> None:
    for place in ("a.box/b.box", "c"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "x.num").write_text("1")

    def found(**how: Any) -> list[str]:
        paths = find_files(tmp_path, "boxes", lambda f: f.suffix == ".num", lambda f: f.suffix == ".box", **how)
        return [path.relative_to(tmp_path).as_posix() for path in paths]

    assert found() == ["a.box", "a.box/b.box", "a.box/b.box/x.num", "c/x.num"]
    assert found(search_items=False) == ["a.box", "c/x.num"]


def test_a_link_to_a_folder_is_no_item_of_its_own(tmp_path: Path) -> None:
    item = tmp_path / "all" / "item"
    item.mkdir(parents=True)
    (item / "part").write_text("x")
    (tmp_path / "all" / "link").symlink_to(item)
    found = find_files(tmp_path / "all", "items", lambda file: False, lambda folder: (folder / "part").exists())
    assert found == [item]
    assert find_files(tmp_path / "all" / "link", "items", lambda file: False, lambda folder: True)  # it was asked for

"""Folders of frames: sorted by number, of one size and kind, with what frames do not say beside them."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from liveaction.errors import FormatError, LiveactionWarning
from liveaction.modalities.video.modality import Video
from liveaction.spec import ModalitySpec


def _video(channels: int = 3, **options: object) -> Video:
    return Video(ModalitySpec(name="video", axes=("t", "y", "x"), channels=channels, range="native", options=options))


@pytest.fixture
def rgb() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (12, 5, 7, 3)).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path, rgb: np.ndarray) -> Path:
    (tmp_path / "clip").mkdir()
    for number, frame in enumerate(rgb):
        Image.fromarray(frame).save(tmp_path / "clip" / f"shot2_{number}.png")
    return tmp_path / "clip"


def test_frames_are_sorted_by_number(folder: Path, rgb: np.ndarray) -> None:
    video = _video()
    assert video.find(folder) == video.find(folder.parent) == [folder]
    signal = video.read(folder)
    np.testing.assert_array_equal(signal.values, rgb.transpose(3, 0, 1, 2))
    assert (signal.metadata["frame_rate"], signal.spacing) == (None, (1.0, 1.0, 1.0))
    signal = _video(frame_rate="30000/1001").read(folder)
    assert (signal.metadata["frame_rate"], signal.spacing[0]) == ("30000/1001", 1001 / 30000)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiff_frames(tmp_path: Path, channels: int, dtype: type, compression: str | None) -> None:
    values = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (3, 4, 6, channels)).astype(dtype)
    for number, frame in enumerate(values):
        kind = "rgb" if channels == 3 else "minisblack"
        tifffile.imwrite(tmp_path / f"f{number:03d}.tif", frame.squeeze(), photometric=kind, compression=compression)
    np.testing.assert_array_equal(_video(channels).read(tmp_path).values, values.transpose(3, 0, 1, 2))


def test_tiff_pages_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "f0.tif", np.zeros((2, 4, 4), np.uint8), photometric="minisblack")
    with pytest.raises(FormatError, match=r"f0.tif: expected one picture per file, got 2 pages"):
        _video(1).read(tmp_path)


@pytest.mark.parametrize("channels", [1, 3])
def test_tiff_frames_in_tiles(tmp_path: Path, channels: int) -> None:
    values = np.random.default_rng(0).integers(0, 256, (17, 19, channels)).astype(np.uint8)
    kind = "rgb" if channels == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "f0.tif", values.squeeze(), photometric=kind, tile=(16, 16), bigtiff=True)
    np.testing.assert_array_equal(_video(channels).read(tmp_path).values[:, 0], values.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("dtype", "options"),
    [("int16", {}), ("int8", {}), ("float16", {}), ("uint32", {}), ("uint8", {"photometric": "separated"})],
)
def test_tiff_frames_of_other_numbers_or_inks_are_refused(tmp_path: Path, dtype: str, options: dict[str, str]) -> None:
    values = np.full((5, 4, 4) if options else (5, 4), -1).astype(dtype)
    tifffile.imwrite(tmp_path / "f0.tif", values, **({"photometric": "minisblack"} | options))
    with pytest.raises(FormatError, match=rf"f0.tif: expected grey, RGB or .* got . x \d+-bit {dtype} as .*; convert"):
        _video(3 if options else 1).read(tmp_path)


def test_tiff_kinds(tmp_path: Path) -> None:
    grey, file = np.arange(20, dtype=np.uint8).reshape(5, 4), tmp_path / "f0.tif"
    tifffile.imwrite(file, grey, photometric="miniswhite")
    np.testing.assert_array_equal(_video(1).read(tmp_path).values[0, 0], 255 - grey)
    tifffile.imwrite(file, grey > 9, photometric="minisblack")
    np.testing.assert_array_equal(_video(1).read(tmp_path).values[0, 0], 255 * (grey > 9))
    colours = np.random.default_rng(0).integers(0, 2**16, (3, 256)).astype(np.uint16)
    tifffile.imwrite(file, grey, photometric="palette", colormap=colours)
    np.testing.assert_array_equal(_video().read(tmp_path).values[:, 0], colours[:, grey] >> 8)
    tifffile.imwrite(file, grey.astype(np.uint16) * 200, photometric="minisblack", bitspersample=12)
    signal = _video(1).read(tmp_path)
    np.testing.assert_array_equal(signal.values[0, 0], grey.astype(np.uint16) * 200)
    assert signal.bits == 12
    tifffile.imwrite(file, np.stack([grey] * 4, -1), photometric="rgb", extrasamples=["unassalpha"])
    with pytest.warns(LiveactionWarning, match=r"its opacity .alpha. is not kept"):
        assert _video().read(tmp_path).values.shape == (3, 1, 5, 4)
    tifffile.imwrite(file, grey, photometric="minisblack", extratags=[(274, 3, 1, 6, True)])
    with pytest.warns(LiveactionWarning, match=r"not kept: orientation of frames"):
        _video(1).read(tmp_path)


def test_a_tiff_frame_cut_short_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "f0.tif", np.ones((9, 9), np.uint8), photometric="minisblack")
    (tmp_path / "f0.tif").write_bytes((tmp_path / "f0.tif").read_bytes()[:-5])
    with pytest.raises(FormatError, match=r"f0.tif: expected 1 strips or tiles within \d+ bytes, got 0: a damaged"):
        _video(1).read(tmp_path)


def test_a_frame_that_is_a_link_to_nothing_is_refused(folder: Path) -> None:
    (last := max(folder.glob("*.png"), key=lambda path: int(path.stem[6:]))).unlink()
    last.symlink_to("nowhere.png")
    with pytest.raises(FormatError, match=rf"{last.name}: expected a readable picture, got No such file"):
        _video().read(folder)


def test_an_animation_is_no_frame(tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (4, 3), (shade, 0, 0)) for shade in (0, 9)]
    pictures[0].save(tmp_path / "f0.png", save_all=True, append_images=pictures[1:])
    with pytest.raises(FormatError, match=r"f0.png: expected one picture per file, got an animation; save each"):
        _video().read(tmp_path)


@pytest.mark.parametrize("text", ['{"bits":8,"frame_rate":"1e9999"}', '{"bits":8,"time_base":"0/0"}'])
def test_a_ratio_that_is_none_is_refused(folder: Path, text: str) -> None:
    (folder / "clip.json").write_text(text)
    with pytest.raises(FormatError, match=r"clip.json: .* got: expected a positive ratio such as 30000/1001, got '"):
        _video().read(folder)
    (folder / "clip.json").unlink()
    (folder / "clip.json").symlink_to("nowhere.json")
    with pytest.raises(FormatError, match=r"clip.json: expected what is written beside frames, got: .*No such file"):
        _video().read(folder)


def test_png_kinds(tmp_path: Path) -> None:
    palette = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4) * 20).convert("RGB").quantize(8)
    palette.save(tmp_path / "0.png")
    np.testing.assert_array_equal(
        _video().read(tmp_path).values[:, 0], np.asarray(palette.convert("RGB")).transpose(2, 0, 1)
    )
    Image.new("RGBA", (4, 3), (1, 2, 3, 128)).save(tmp_path / "0.png")
    with pytest.warns(LiveactionWarning, match=r"its opacity .alpha. is not kept"):
        assert _video().read(tmp_path).values[:, 0, 0, 0].tolist() == [1, 2, 3]


def test_a_profile_and_texts_of_frames_are_said(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    text = PngInfo()
    text.add_text("Author", "x")
    Image.new("RGB", (4, 3), (1, 2, 3)).save(tmp_path / "0.png", icc_profile=profile, pnginfo=text)
    with pytest.warns(LiveactionWarning, match=r"not kept: iCCP of frames, tEXt of frames$"):
        _video().read(tmp_path)


def test_numbers_missing_are_said_and_doubled_refused(folder: Path) -> None:
    (folder / "shot2_4.png").unlink()
    with pytest.warns(LiveactionWarning, match=r"1 of the numbers 0 to 11 have no frame"):
        assert _video().read(folder).shape[0] == 11
    (folder / "shot2_05.png").write_bytes((folder / "shot2_5.png").read_bytes())
    with pytest.raises(FormatError, match=r"expected each frame's number once, got 'shot2_05.png' and 'shot2_5.png'"):
        _video().read(folder)
    (folder / "cover.png").write_bytes((folder / "shot2_5.png").read_bytes())
    with pytest.raises(FormatError, match=r"expected frames with a number in their names, got 'cover.png'"):
        _video().read(folder)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (
            np.zeros((5, 8, 3), np.uint8),
            r"shot2_9.png: expected frames of one size and depth, \(3, 5, 7\) .* at frame 9; take it",
        ),
        (np.zeros((5, 7), np.uint8), "shot2_9.png: expected pixel format 'rgb24' as the first frame's, got 'gray'"),
    ],
    ids=["size", "grey"],
)
def test_frames_unlike_the_first_are_refused(folder: Path, frame: np.ndarray, message: str) -> None:
    Image.fromarray(frame).save(folder / "shot2_9.png")
    with pytest.raises(FormatError, match=message):
        _video().read(folder)


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]


DAMAGES = {"cut": _cut, "flip": _flip, "empty": lambda data: b"", "text": lambda data: b"no picture"}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damaged_frames_are_refused(folder: Path, damage: object) -> None:
    path = folder / "shot2_7.png"
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(FormatError, match=r"shot2_7.png: expected a (whole )?PNG picture, got"):
        _video().read(folder)


def test_a_folder_is_replaced_whole_or_not_at_all(folder: Path, tmp_path: Path) -> None:
    video = _video()
    out = tmp_path / "out"
    video.write(video.synthetic(0, (5, 4, 4)), out)
    video.write(video.synthetic(1, (3, 4, 4)), out)
    assert sorted(p.name for p in out.iterdir()) == ["clip.json", *(f"frame_{n:06d}.png" for n in range(3))]
    np.testing.assert_array_equal(video.read(out).values, video.synthetic(1, (3, 4, 4)).values)
    with pytest.raises(
        FormatError, match=r"expected a new folder or one of frames to replace, got a folder that holds"
    ):
        video.write(video.synthetic(0, (1, 4, 4)), folder)
    (tmp_path / "file").write_text("")
    with pytest.raises(FormatError, match=r"expected a new folder or one of frames to replace, got a file"):
        video.write(video.synthetic(0, (1, 4, 4)), tmp_path / "file")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip", "file", "out"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"timestamps": [0, 1]}, "clip.json: expected 3 timestamps, one per frame, got 2"),
        ({"bits": 10}, "frame_000000.png: expected 16 bits as clip.json says, got 8"),
        ({"bits": 11}, "clip.json: expected what is written beside frames, got: Input should be 8, 9, 10"),
        ({"more": 1}, "clip.json: expected what is written beside frames, got: Extra inputs are not permitted"),
    ],
)
def test_a_clip_json_that_does_not_fit(tmp_path: Path, change: dict[str, object], message: str) -> None:
    video = _video()
    video.write(video.synthetic(0, (3, 4, 4)), tmp_path / "a")
    about = tmp_path / "a" / "clip.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), **change}))
    with pytest.raises(FormatError, match=message):
        video.read(tmp_path / "a")


def test_find(folder: Path, tmp_path: Path) -> None:
    video = _video()
    video.write(video.synthetic(0, (2, 4, 4)), tmp_path / "b.mkv")
    (tmp_path / "poster_1.png").write_bytes((folder / "shot2_0.png").read_bytes())
    (tmp_path / ".hidden").mkdir()
    video.write(video.synthetic(0, (2, 4, 4)), tmp_path / ".hidden" / "c.mkv")
    assert video.find(tmp_path) == [tmp_path / "b.mkv", folder]
    with pytest.raises(FormatError, match=r"got a file named 'shot2_0.png'; give its folder"):
        video.find(folder / "shot2_0.png")

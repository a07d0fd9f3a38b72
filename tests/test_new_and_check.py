"""``liveaction new`` writes recipes that stand ``check``; ``check --data`` says what a file and a recipe amount to."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import zarr
from typer.testing import CliRunner

from liveaction.cli.main import app
from liveaction.cli.new_recipe import write_recipe
from liveaction.errors import FormatError, LiveactionError, SpecError, UnknownNameError
from liveaction.profiling import estimate as estimates
from liveaction.profiling.estimate import Cost, Line, Work
from liveaction.recipe import load_recipe, recipe_names, recipe_text
from liveaction.registry import build_modality
from liveaction.training.data import Crops


def invoke(*words: Any) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.parametrize("like", ["array", "ct", "ct_light", "paper_ct_f8c8"])
def test_a_new_recipe_stands_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, like: str) -> None:
    monkeypatch.chdir(tmp_path)
    said = invoke("new", "mine", "--like", like)
    assert said.exit_code == 0 and said.stdout.startswith("mine.yaml: written; edit it, then: liveaction check mine")
    assert load_recipe("mine.yaml").name == "mine"
    assert invoke("check", "mine.yaml").exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


def test_a_shipped_recipe_keeps_its_comments(tmp_path: Path) -> None:
    text = write_recipe("mine", "ct_light", folder=tmp_path).read_text()
    assert text == recipe_text("ct_light").replace("name: ct_light", "name: mine", 1)
    again = write_recipe("other", str(tmp_path / "mine.yaml"), folder=tmp_path)
    assert again.read_text() == text.replace("name: mine", "name: other", 1)


def test_every_key_of_the_template_is_explained(tmp_path: Path) -> None:
    text = write_recipe("mine", "array", folder=tmp_path).read_text()
    for key in ("axes", "channels", "unit", "range", "order", "key", "dtype", "no_data", "spacing", "levels", "crop"):
        (line,) = [line for line in text.splitlines() if line.strip(" #").startswith(f"{key}:")]
        before = text.splitlines()[text.splitlines().index(line) - 1]
        assert "#" in line or before.strip().startswith("#"), line


FILES = [
    ((40, 50, 60), "int16", ["z", "y", "x"], 1, ["z", "y", "x"]),
    ((3, 64, 80), "uint8", ["y", "x"], 3, ["c", "y", "x"]),
    ((64, 80, 4), "float32", ["y", "x"], 4, ["y", "x", "c"]),
    ((8, 16000), "float64", ["x"], 8, ["c", "x"]),
    ((5000,), "float16", ["x"], 1, ["x"]),
    ((6, 20, 1, 30, 30), "float32", ["a0", "a1", "a3", "a4"], 1, ["a0", "a1", "a2", "a3", "a4"]),
    ((1, 1), "int32", ["x"], 1, ["y", "x"]),
]


@pytest.mark.parametrize(("shape", "dtype", "axes", "channels", "order"), FILES)
def test_a_file_fills_the_recipe_in(
    tmp_path: Path, shape: tuple[int, ...], dtype: str, axes: list[str], channels: int, order: list[str]
) -> None:
    raw = np.random.default_rng(0).normal(100, 20, shape).astype(dtype)
    np.save(tmp_path / "a.npy", raw)
    path = write_recipe("mine", "array", tmp_path / "a.npy", folder=tmp_path)
    spec = load_recipe(path).modality
    assert (list(spec.axes), spec.channels, spec.options["order"], spec.options["dtype"]) == (
        axes, channels, order, dtype,
    )  # fmt: skip
    low, high = spec.range
    assert low <= raw.min() and high >= raw.max() and high - low < 1.3 * float(np.ptp(raw)) + 2.1
    assert "a.npy" in path.read_text()
    assert build_modality(spec).read(tmp_path / "a.npy").values.size == raw.size


def test_a_store_gives_its_names_and_key(tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "a.zarr")
    names = ("time", "lat", "lon")
    array = group.create_array("t2m", shape=(9, 40, 50), dtype="float32", dimension_names=names)
    row = np.where(np.arange(50) < 5, np.nan, np.arange(50)).astype("float32")
    array[...] = np.tile(row, (9, 40, 1))
    group.create_array("lat", shape=(40,), dtype="float32")
    with pytest.raises(FormatError, match="expected one array, got lat, t2m"):
        write_recipe("mine", "array", tmp_path / "a.zarr", folder=tmp_path)
    spec = load_recipe(write_recipe("mine", "array", tmp_path / "a.zarr", "t2m", folder=tmp_path)).modality
    assert spec.axes == names and spec.options["key"] == "t2m" and spec.options["no_data"] == "nan"
    assert build_modality(spec).read(tmp_path / "a.zarr").missing.mean() == pytest.approx(0.1)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["raw"] = np.zeros((20, 30), "uint16")
    spec = load_recipe(write_recipe("b", "array", tmp_path / "b.h5", folder=tmp_path)).modality
    assert spec.range == (-1, 1) and "key" not in spec.options


@pytest.mark.parametrize("kind", ["h5", "zarr"])
@pytest.mark.parametrize(("mark", "dtype"), [(-999, "int16"), (1e20, "float64"), (np.float32(1e36), "float32")])
def test_a_file_gives_what_stands_where_nothing_was_measured(tmp_path: Path, kind: str, mark: Any, dtype: str) -> None:
    raw = np.add.outer(np.arange(20), np.arange(30)).astype(dtype)
    raw[:2] = mark
    path, said = tmp_path / f"a.{kind}", {"missing_value": "none", "_FillValue": mark}
    if kind == "h5":
        with h5py.File(path, "w") as file:
            data = file.create_dataset("raw", data=raw)
            data.attrs.update(said)
            file.create_dataset("lat", data=np.arange(20.0)).make_scale("lat")
            data.dims[0].attach_scale(file["lat"])
            data.dims[1].label = "lon"
    else:
        said["_FillValue"] = float(mark)
        zarr.create_array(path, data=raw, attributes=said, dimension_names=["lat", "lon"])
    spec = load_recipe(write_recipe("mine", "array", path, folder=tmp_path)).modality
    assert (spec.axes, spec.options["no_data"], spec.range) == (("lat", "lon"), float(mark), (2, 48))
    assert build_modality(spec).read(path).missing.mean() == pytest.approx(0.1)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_value_that_a_dtype_does_not_hold_is_no_mark(tmp_path: Path, dtype: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw"] = (np.arange(600) % 256).astype(dtype).reshape(20, 30)
        file["raw"].attrs["_FillValue"] = [-1, 1e300, 0.5]
    path = write_recipe("mine", "array", tmp_path / "a.h5", folder=tmp_path)
    assert "no_data" not in load_recipe(path).modality.options


@pytest.mark.parametrize("values", [2**60 + np.arange(900), 1e9 + np.arange(900) * 1e-6, [1e-310, 3e-310]])
def test_a_file_of_close_values_gives_a_range_around_them(tmp_path: Path, values: Any) -> None:
    np.save(tmp_path / "a.npy", np.array(values))
    low, high = load_recipe(write_recipe("mine", "array", tmp_path / "a.npy", folder=tmp_path)).modality.range
    assert low <= np.min(values) <= np.max(values) <= high and high - low < 1.3 * float(np.ptp(values))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([-1e300, 1e300], "mine.yaml .* range: expected .* within ±2.*; scale the values"),
        ([-1.7e308, 1.7e308], "mine.yaml .* range: expected .* within ±2.*; scale the values"),
        (np.zeros((2, 2, 8, 8, 8)), "mine.yaml .* axes: tuple should have at most 4 items"),
    ],
)
def test_a_file_that_no_recipe_fits_leaves_none(tmp_path: Path, values: Any, words: str) -> None:
    np.save(tmp_path / "a.npy", np.array(values))
    with pytest.raises(SpecError, match=words):
        write_recipe("mine", "array", tmp_path / "a.npy", folder=tmp_path)
    assert not list(tmp_path.glob("*.yaml"))


@pytest.mark.parametrize(
    ("kind", "words", "arguments"),
    [
        (SpecError, "NAME: expected letters, digits", ("a/b", "array")),
        (SpecError, "NAME: expected letters, digits", ("..", "array")),
        (SpecError, "there.yaml: expected a new file, got an existing one; add --force", ("there", "array")),
        (UnknownNameError, "--like: expected a shipped recipe, a .yaml file or a modality, got 'arry'", ("x", "arry")),
        (SpecError, "expected a readable recipe file", ("x", "nothing.yaml")),
        (SpecError, "--data: expected --like array, got --like ct_light", ("x", "ct_light", Path("a.npy"))),
        (SpecError, "--key: expected --data with it, got none", ("x", "array", None, "raw")),
        (FormatError, "missing.npy: expected an array", ("x", "array", Path("missing.npy"))),
    ],
)
def test_what_new_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[LiveactionError], words: str, arguments: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.yaml").write_text("mine")
    with pytest.raises(kind) as caught:
        write_recipe(*arguments)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["there.yaml"] and Path("there.yaml").read_text() == "mine"
    write_recipe("there", "array", force=True)
    assert load_recipe("there.yaml").name == "there"


def test_nothing_is_left_of_a_recipe_that_does_not_stand(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(recipe_text("array_smoke").replace("levels: 3", "levels: 13"))
    with pytest.raises(SpecError, match="levels"):
        write_recipe("x", str(tmp_path / "bad.yaml"), folder=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.yaml"]


SMALL = ("--set", "training.steps=4", "--set", "training.warm_crops=3", "--set", "training.crop=[16]")


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    """A file of array_smoke that is clipped in part, and not a multiple of anything."""
    raw = np.random.default_rng(0).normal(0, 12, (21, 33, 40)).astype("float32")
    np.save(tmp_path / "cube.npy", raw)
    return tmp_path / "cube.npy"


def test_check_reads_a_file_and_measures(cube: Path) -> None:
    said = invoke("check", "array_smoke", "--data", cube, *SMALL, "--json")
    assert said.exit_code == 0, said.exception
    report = json.loads(said.stdout)
    raw = np.load(cube)
    assert report["shape"] == [40, 33, 21] and report["grid"] == [5, 5, 3]
    assert report["data"]["padding"] == [0, 7, 3] and report["data"]["dtype"] == "float32"
    assert report["data"]["clipped_share"] == pytest.approx(float(((raw < -80) | (raw > 20)).mean()))
    assert report["data"]["least"] == pytest.approx(float(raw.min()))
    for part in ("compress", "decompress", "training"):
        assert 0 < report["estimate"][part]["seconds"] < 60
    assert report["estimate"]["measured"] == raw.size and report["estimate"]["stream_bytes"] > 100
    lines = "\n".join(report["data"]["advice"])
    for words in ("clips 4", "axis time has 21 samples and the filter of level 3 spans 40", "padding adds 7", "tokens"):
        assert words in lines


def test_check_advises_on_lapped_axes(cube: Path) -> None:
    axes = ("--set", "codec.levels=0", "--set", "codec.lapped=[16,2,4]", "--set", "training.warm_crops=1")
    said = invoke("check", "array_smoke", "--data", cube, *SMALL, *axes, "--json")
    assert said.exit_code == 0, said.exception
    report = json.loads(said.stdout)
    assert report["grid"] == [3, 17, 6] and report["data"]["padding"] == [8, 1, 3]
    lines = "\n".join(report["data"]["advice"])
    for words in (
        "padding adds 8 to the 40 samples of axis ",
        "; a smaller one there",
        "measures 32 t",
    ):
        assert words in lines


def test_check_prints_a_table(cube: Path) -> None:
    said = invoke("check", "array_smoke", "--data", cube, *SMALL)
    assert said.exit_code == 0, said.exception
    for words in (
        "cube.npy: 1 x 40 x 33 x 21 float32",
        "clipped",
        "on this machine",
        "decompress",
        "an order of magni",
    ):
        assert words in said.stdout
    refused = invoke("check", "array_smoke", "--data", cube, "--shape", "1,2,3")
    assert isinstance(refused.exception, SpecError) and "expected one of them" in str(refused.exception)


@pytest.mark.parametrize("values", [np.full((16, 16, 16), 3.0), np.zeros((1, 1, 1))], ids=["constant", "one"])
def test_check_of_poor_files(tmp_path: Path, values: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", values.astype("float32"))
    said = invoke("check", "array_smoke", "--data", tmp_path / "a.npy", *SMALL, "--json")
    assert said.exit_code == 0, said.exception
    lines = "\n".join(json.loads(said.stdout)["data"]["advice"])
    assert "the signal is constant" in lines
    assert ("token(s) of this file" in lines) is (values.size == 1)


def test_a_line_is_followed() -> None:
    def line(*points: tuple[int, Cost]) -> Line:
        return Line([(Work(n, n), cost) for n, cost in points])

    two = line((10, Cost(1.0, 100)), (30, Cost(2.0, 300)))
    assert two.at(Work(20, 20)) == Cost(1.5, 200) and two.at(Work(30, 30)) == Cost(2.0, 300)
    assert two.at(Work(70, 70)) == Cost(4.0, 700)
    assert two.at(Work(70, 30)) == Cost(4.0, 300)  # in windows, more samples take no more memory
    assert line((10, Cost(1.0, None))).at(Work(20, 20)) == Cost(2.0, None)
    assert line((10, Cost(1.0, 5)), (20, Cost(0.5, None))).at(Work(40, 40)) == Cost(0.5, 20)


@pytest.mark.slow
def test_check_measures_a_codec_with_bases_of_their_own(tmp_path: Path) -> None:
    raw = np.random.default_rng(0).normal(0, 9, (33, 21, 5)).astype("int16")
    np.save(tmp_path / "a.npy", raw)
    said = invoke(
        "check", "hyperspectral_own", "--data", tmp_path / "a.npy", "--set", "training.warm_crops=2", "--json"
    )
    assert said.exit_code == 0, said.exception
    report = json.loads(said.stdout)
    assert report["channels"] == 5 and report["estimate"]["measured"] == raw.size
    assert all(report["estimate"][part]["seconds"] > 0 for part in ("compress", "decompress", "training"))


def test_a_codec_that_learns_nothing_takes_no_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain(torch.nn.Module):
        """As a codec of transforms alone."""

        own, behind = False, None
        to_symbols = staticmethod(torch.clone)

        def decode(self, y: torch.Tensor, extents: tuple[int, ...]) -> torch.Tensor:
            return y

    monkeypatch.setattr(estimates, "_opening_a_log", lambda: 5.0)
    recipe = load_recipe("array_audio_smoke")
    spec = recipe.modality.model_copy(update={"channels": 0})
    modality = build_modality(spec)
    crops = Crops.of(modality, modality.synthetic(0, (99,)))
    said: list[str] = []
    cost = estimates._training(recipe, Plain(), crops, 7.0, Cost(11.0, 1 << 30), said.append)  # type: ignore[arg-type]
    assert 23 <= cost.seconds < 33 and not said
    assert cost.bytes is None or 1 << 30 <= cost.bytes <= (1 << 30) + 2 * 2 * 4 * 99


def test_shipped_recipes_know_how_to_be_copied(tmp_path: Path) -> None:
    for name in recipe_names():
        if name.startswith(("ct", "array")):
            assert load_recipe(write_recipe(f"my_{name}", name, folder=tmp_path)).name == f"my_{name}"

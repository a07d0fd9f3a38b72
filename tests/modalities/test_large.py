"""Arrays, images and recordings that are large: the same values and files as small ones, mapped rather than held."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from liveaction import mapped as signals
from liveaction.mapped import is_mapped
from liveaction.modalities.base import Modality
from liveaction.recipe import load_recipe
from liveaction.registry import build_modality
from liveaction.signal import Signal

ORDERS = {"c": "C", "fortran": "F"}


@pytest.fixture
def lower(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Everything is large from now on, and worked on in small parts."""

    def now() -> None:
        monkeypatch.setattr(signals, "LARGE", 8)
        monkeypatch.setattr(signals, "PART", 50)

    return now


def _array(*settings: str) -> Modality:
    overrides = ["modality.options.order=[range, azimuth, time]", "modality.range={percentiles: [1, 99]}", *settings]
    return build_modality(load_recipe("array_smoke", overrides).modality)


def _both_ways(modality: Modality, source: Path, lower: Any, folder: Path) -> tuple[Signal, Signal, list[Path]]:
    """Read and written as a small and as a large one."""
    made = [folder / f"{name}{''.join(source.suffixes)}" for name in ("small", "large")]
    small = modality.read(source)
    modality.write(small, made[0])
    lower()
    large = modality.read(source)
    modality.write(large, made[1])
    np.testing.assert_array_equal(large.values, small.values)
    assert (large.values.dtype, large.metadata, large.spacing) == (small.values.dtype, small.metadata, small.spacing)
    assert modality.range_of(large) == modality.range_of(small)
    assert modality.compare(large, small) == pytest.approx(modality.compare(small, small), nan_ok=True)
    return small, large, made


@pytest.mark.parametrize("dtype", ["int16", ">i2", "float32", ">f8"])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("no_data", [False, True])
def test_npy(tmp_path: Path, lower: Any, dtype: str, order: str, no_data: bool) -> None:
    values = np.random.default_rng(0).integers(0, 99, (9, 8, 7)).astype(dtype, order=ORDERS[order])  # type: ignore[call-overload]
    np.save(tmp_path / "a.npy", values)
    modality = _array("modality.options.dtype=null", *(["modality.options.no_data=7"] if no_data else []))
    small, large, made = _both_ways(modality, tmp_path / "a.npy", lower, tmp_path)
    assert is_mapped(large.values)
    assert (small.missing is not None) == no_data
    assert made[0].read_bytes() == made[1].read_bytes() == (tmp_path / "a.npy").read_bytes()


@pytest.mark.parametrize("dtype", ["int16", ">f4"])
@pytest.mark.parametrize("chunks", [None, (4, 3, 7), (1, 8, 7)])
def test_hdf5(tmp_path: Path, lower: Any, dtype: str, chunks: Any) -> None:
    values = np.random.default_rng(0).integers(0, 99, (9, 8, 7)).astype(dtype)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("scan", data=values, chunks=chunks, compression="gzip" if chunks else None)
    modality = _array("modality.options.dtype=null")
    _, large, made = _both_ways(modality, tmp_path / "a.h5", lower, tmp_path)
    assert is_mapped(large.values)
    with h5py.File(made[0]) as one, h5py.File(made[1]) as other:
        np.testing.assert_array_equal(one["scan"][...], other["scan"][...])
        assert (one["scan"].dtype, one["scan"].chunks) == (other["scan"].dtype, other["scan"].chunks)


@pytest.mark.parametrize("version", [2, 3])
def test_zarr(tmp_path: Path, lower: Any, version: int) -> None:
    import zarr

    values = np.random.default_rng(0).integers(0, 99, (9, 8, 7)).astype(np.int16)
    store = zarr.create_array(tmp_path / "a.zarr", shape=values.shape, dtype=values.dtype, chunks=(4, 3, 7),
                              zarr_format=version)  # fmt: skip
    store[...] = values
    _, large, made = _both_ways(_array("modality.options.dtype=null"), tmp_path / "a.zarr", lower, tmp_path)
    assert is_mapped(large.values)
    files = [sorted(p.relative_to(place) for p in place.rglob("*") if p.is_file()) for place in made]
    assert files[0] == files[1] and len(files[0]) > 9
    assert all((made[0] / name).read_bytes() == (made[1] / name).read_bytes() for name in files[0])


@pytest.mark.parametrize("recipe", ["hyperspectral_smoke"])
@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
def test_envi(tmp_path: Path, lower: Any, recipe: str, interleave: str) -> None:
    modality = build_modality(load_recipe(recipe).modality)
    modality.write(modality.synthetic(0, (17, 9, 11)), tmp_path / "a.hdr")
    text = (tmp_path / "a.hdr").read_text().replace("interleave = bil", f"interleave = {interleave}")
    (tmp_path / "a.hdr").write_text(text)
    _, large, made = _both_ways(modality, tmp_path / "a.hdr", lower, tmp_path)
    assert is_mapped(large.values)
    raw = [path.with_suffix(".img").read_bytes() for path in (*made, tmp_path / "a.hdr")]
    assert raw[0] == raw[1] == raw[2]


def test_wav(tmp_path: Path, lower: Any) -> None:
    modality = build_modality(load_recipe("music_smoke").modality)
    modality.write(modality.synthetic(0, (5000,)), tmp_path / "a.wav")
    _, large, made = _both_ways(modality, tmp_path / "a.wav", lower, tmp_path)
    assert is_mapped(large.values)
    assert made[0].read_bytes() == made[1].read_bytes()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("most", [3, 50, 10**6])
def test_a_sample_is_every_nth_value_in_raster_order(lower: Any, order: str, most: int) -> None:
    lower()
    rng = np.random.default_rng(0)
    values = np.asarray(rng.normal(size=(2, 9, 8, 7)), order=ORDERS[order])  # type: ignore[call-overload]
    for missing in (None, rng.random(values.shape) < 0.3):
        there = values.reshape(-1) if missing is None else values[~missing]
        wanted = there[:: max(1, there.size // most)]
        np.testing.assert_array_equal(np.sort(signals.spread_sample(values, missing, most)), np.sort(wanted))


@pytest.mark.parametrize("orders", [("C", "C"), ("F", "F"), ("C", "F")])
@pytest.mark.parametrize("shape", [(1, 7, 6, 5), (3, 1, 200), (1, 1), (2, 0, 4)])
@pytest.mark.parametrize("whole", [None, 1])
def test_parts_cover_everything_once(lower: Any, orders: Any, shape: tuple[int, ...], whole: int | None) -> None:
    lower()
    counts, other = (np.zeros(shape, order=order) for order in orders)
    for box in signals.parts(counts, other, whole=whole):
        counts[box] += 1
        assert counts[box].size <= 50 or whole is not None
    assert (counts == 1).all()

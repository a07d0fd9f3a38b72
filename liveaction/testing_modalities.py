"""What every modality must do, as one check that a package with a modality of its own can run too.

from liveaction.testing_modalities import check_modality
check_modality(build_modality(spec), tmp_path, ".nii.gz")
"""

import math
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from liveaction.errors import FormatError
from liveaction.signal import Signal

if TYPE_CHECKING:
    from liveaction.modalities.base import Modality


def check_modality(modality: "Modality", folder: Path, suffix: str, extents: Iterable[tuple[int, ...]] = ()) -> None:
    """Phantoms of several sizes through files and back, constant and noisy ones, and damaged files refused.

    The phantom of its own size goes through once; what is tried many times is of the sizes given, where there are any.

    Args:
        modality: what to check.
        folder: an empty folder to write to.
        suffix: of the files or folders that :meth:`Modality.write` makes, such as ``.nii.gz``.
        extents: sizes to try beside the phantom's own; one sample and odd sizes belong among them.

    Raises:
        AssertionError: with what was expected and what came.
    """
    whole, sizes = modality.synthetic(3), [tuple(size) for size in extents]
    some = max(sizes, key=math.prod, default=whole.shape)
    one, two, other = (modality.synthetic(seed, some) for seed in (3, 3, 4))
    _same(one, two, "two phantoms of one seed", exactly=True)
    assert not np.array_equal(one.values, other.values), "phantoms of two seeds: expected two signals"
    _check_round(modality, whole, folder / f"0_phantom{suffix}")
    for number, size in enumerate(sizes or [whole.shape]):
        signal = one if size == some else modality.synthetic(3, size)
        assert signal.shape == size, f"synthetic: expected extents {size}, got {signal.shape}"
        for kind in ("phantom", "constant", "noise"):
            _check_round(modality, _filled_with(signal, kind), folder / f"{number + 1}_{kind}{suffix}")
    found = modality.find(folder)
    assert len(found) >= 3, f"find: expected all files written, got {found}"
    _check_region(modality, modality.read(folder / f"0_phantom{suffix}"), folder / f"region{suffix}")
    _check_refusals(modality, one, folder, suffix)
    _check_not_finite(modality, one, folder / f"nan{suffix}")


def _check_round(modality: "Modality", signal: Signal, path: Path) -> None:
    """Write, read, normalise, denormalise, write and read again: values and metadata stay."""
    modality.write(signal, path)
    first = modality.read(path)
    assert modality.spec.takes(first.values.shape[0]), f"{path}: expected values {modality.spec.values}"
    _same(signal, first, f"{path}: written and read")
    limits = modality.range_of(first)
    x = modality.normalise(first.filled(), limits)
    assert float(x.min()) >= -1 and float(x.max()) <= 1, f"{path}: expected normalised values in [-1, 1]"
    back = modality.denormalise(x, first.values.dtype.name, limits)
    if first.missing is not None:
        back[first.missing] = np.array(first.no_data).astype(back.dtype)
    expected = _clipped(first, limits)
    worst = np.abs(back.astype(np.float64) - expected).max() if back.dtype.kind != "f" else 0.0
    step = (limits[1] - limits[0]) * 2.0**-22  # float32 in between: exact for up to 22 bits
    assert worst <= max(step, 0.0 if step < 0.5 else step), (
        f"{path}: normalise and denormalise changed values by {worst}"
    )
    if back.dtype.kind == "f":
        np.testing.assert_allclose(back, expected, atol=4 * step, err_msg=f"{path}: normalise and denormalise")
    again = path.with_name("again_" + path.name)
    modality.write(replace(first, values=back), again)
    second = modality.read(again)
    _same(replace(first, values=back), second, f"{again}: written and read a second time")
    report = modality.compare(first, second)
    assert all(isinstance(value, float) for value in report.values()), f"compare: expected numbers, got {report}"
    _remove(again)


def _check_region(modality: "Modality", whole: Signal, path: Path) -> None:
    """What was read, a region of it as :meth:`Modality.cropped` places it, written and read: the region's values."""
    box = tuple((n // 4, n - n // 4) for n in whole.shape)
    part = modality.cropped(whole.crop(*(slice(low, high) for low, high in box)), box, whole.shape)
    modality.write(part, path)
    back = modality.read(path)
    np.testing.assert_array_equal(part.values, back.values, err_msg=f"{path}: a region, written and read")
    np.testing.assert_allclose(part.spacing, back.spacing, rtol=1e-5, err_msg=f"{path}: spacing of a region")
    _remove(path)


def _check_refusals(modality: "Modality", signal: Signal, folder: Path, suffix: str) -> None:
    good = folder / f"0_phantom{suffix}"
    empty = folder / "empty"
    empty.mkdir()
    short = folder / f"short{suffix}"
    _cut(good, short)
    other = folder / "notes.unknown"
    other.write_text("not a signal")
    none = folder / f"none{suffix}"
    if good.is_dir():
        none.mkdir()
    else:
        none.write_bytes(b"")
    for what in (folder / f"missing{suffix}", empty, other):
        _refused(lambda what=what: modality.find(what), what)
    for what in (folder / f"missing{suffix}", short, none):
        _refused(lambda what=what: modality.read(what), what)
    _refused(lambda: modality.write(signal, folder / "no such folder" / f"x{suffix}"), folder / "no such folder")
    _refused(lambda: modality.write(signal, folder / "x.unknown"), folder / "x.unknown")
    assert not (folder / "x.unknown").exists(), "write: expected nothing left of a refused file"


def _check_not_finite(modality: "Modality", signal: Signal, path: Path) -> None:
    """NaN and infinity are refused, unless they stand where values are missing."""
    for bad in (np.nan, np.inf):
        values = signal.values.astype(np.float32)
        values.reshape(-1)[values.size // 2] = bad
        if signal.missing is None or not signal.missing.reshape(-1)[values.size // 2]:
            _refused(lambda values=values: modality.write(replace(signal, values=values, missing=None), path), path)


def _cut(good: Path, short: Path) -> None:
    """A third of a file, or of every file of a folder."""
    if good.is_dir():
        shutil.copytree(good, short)
    else:
        shutil.copyfile(good, short)
    for file in [file for file in (short, *short.rglob("*")) if file.is_file()]:
        data = file.read_bytes()
        file.write_bytes(data[: len(data) // 3])


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _refused(action: Any, where: Path) -> None:
    try:
        action()
    except FormatError as error:
        text = str(error)
        assert "\n" not in text and where.name.split(".")[0] in text, (
            f"expected one line that names {where}, got {text!r}"
        )
        return
    raise AssertionError(f"{where}: expected a FormatError, got none")


def _filled_with(signal: Signal, kind: str) -> Signal:
    if kind == "phantom":
        return signal
    values = signal.filled()
    if kind == "constant":
        return replace(signal, values=np.full_like(values, values.reshape(-1)[0]), missing=None)
    order = np.random.default_rng(0).permutation(values.size)
    return replace(signal, values=values.reshape(-1)[order].reshape(values.shape), missing=None)


def _clipped(signal: Signal, limits: tuple[float, float]) -> Any:
    low, high = limits if signal.values.dtype.kind == "f" else (math.ceil(limits[0]), math.floor(limits[1]))
    values = np.clip(signal.values.astype(np.float64), low, high)
    if signal.missing is not None:
        values[signal.missing] = signal.no_data
    return values


def _same(one: Signal, other: Signal, where: str, exactly: bool = False) -> None:
    assert one.values.dtype == other.values.dtype, f"{where}: expected {one.values.dtype}, got {other.values.dtype}"
    np.testing.assert_array_equal(one.values, other.values, err_msg=where)
    for name in ("axes", "unit", "dtype", "bits"):
        mine, theirs = getattr(one, name), getattr(other, name)
        assert mine == theirs, f"{where}: expected {name} {mine!r}, got {theirs!r}"
    np.testing.assert_allclose(one.spacing, other.spacing, rtol=1e-5, err_msg=f"{where}: spacing")
    lost, theirs = (s.missing if s.missing is not None and s.missing.any() else None for s in (one, other))
    assert (lost is None) == (theirs is None), f"{where}: expected what is missing to stay so"
    if lost is not None:
        np.testing.assert_array_equal(lost, theirs, err_msg=f"{where}: what is missing")
    if exactly:
        assert one.metadata == other.metadata, f"{where}: expected equal metadata"

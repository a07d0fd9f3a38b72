"""The phantom is the same everywhere, and a CT of somebody; the preview is a picture."""

import hashlib
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from liveaction.errors import ShapeError
from liveaction.modalities.volume.canvas import scanner_noise
from liveaction.modalities.volume.ct import CT
from liveaction.modalities.volume.ct_phantom import ct_phantom
from liveaction.signal import Signal
from liveaction.spec import ModalitySpec

SPEC = ModalitySpec(name="ct", axes=("x", "y", "z"), channels=1, unit="HU", range=(-1024, 3071))
SMALL = (60, 60, 36)


def test_equal_seeds_equal_phantoms() -> None:
    one, two, other = (ct_phantom(seed, (40, 40, 24)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.values, two.values)
    assert (np.abs(one.values.astype(int) - other.values) > 100).mean() > 0.02  # another anatomy, not only noise


def test_the_phantom_is_the_same_on_every_machine() -> None:
    digest = hashlib.sha256(ct_phantom(0, (20, 20, 12)).values.tobytes()).hexdigest()
    assert digest[:16] == "b5e8e4f1bb09944c"


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_phantom_holds_what_a_chest_holds(seed: int) -> None:
    values, _, _ = ct_phantom(seed, (80, 80, 48))
    shares = {
        "air": (values < -950).mean(),
        "lung": ((values > -950) & (values < -750)).mean(),
        "fat": ((values > -140) & (values < -60)).mean(),
        "soft": ((values > 0) & (values < 180)).mean(),
        "bone": (values > 300).mean(),
    }
    bounds = {"air": (0.3, 0.8), "lung": (0.04, 0.2), "fat": (0.04, 0.2), "soft": (0.1, 0.35), "bone": (0.004, 0.05)}
    assert all(low < shares[name] < high for name, (low, high) in bounds.items()), shares
    assert values.min() >= -1024 and values.max() < 2000


def test_the_phantom_lies_on_its_back_on_a_table() -> None:
    values, affine, spacing = ct_phantom(0, SMALL)
    assert (values.dtype, spacing) == (np.int16, (6.0, 6.0, 8.0))
    np.testing.assert_allclose(np.abs(affine[:3, :3]).sum(axis=0), spacing)
    table = (values[:, -8:] > -900).any(axis=(0, 2))
    assert table.any() and not (values[:, :4] > -900).any()
    lungs = ((values > -930) & (values < -780))[:, 15:45].sum(axis=(0, 1))
    assert lungs[SMALL[2] // 2 :].sum() > 3 * lungs[: SMALL[2] // 2].sum()  # the chest is at the head's end
    liver = ((values > 20) & (values < 180))[..., SMALL[2] // 3]
    assert liver[: SMALL[0] // 2].sum() > liver[SMALL[0] // 2 :].sum()  # on the patient's right, at low X


def test_scanner_noise_is_correlated_and_has_unit_variance() -> None:
    noise = scanner_noise((64, 64, 32), np.random.Generator(np.random.PCG64(0)))
    assert abs(float(noise.std()) - 1) < 0.03
    assert 0.1 < float((noise[:, :, 1:] * noise[:, :, :-1]).mean()) < 0.6
    block = noise.reshape(8, 8, 8, 8, 32).mean(axis=(1, 3))
    assert float(block.std()) < 0.1  # of 0.125 and more without the dip at low frequencies


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 63), (33, 2, 5)])
def test_phantoms_of_any_shape(shape: tuple[int, int, int]) -> None:
    assert ct_phantom(0, shape).values.shape == shape


def test_a_synthetic_signal_is_written_and_read(tmp_path: Path) -> None:
    ct = CT(SPEC)
    signal = ct.synthetic(5)
    assert (signal.values.shape, signal.dtype, signal.unit) == ((1, 160, 160, 96), "int16", "HU")
    ct.write(signal, tmp_path / "a.nii.gz")
    again = ct.read(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(again.values, signal.values)
    assert again.metadata["affine"] == signal.metadata["affine"]
    assert again.metadata["orientation"] == "LPS"


@pytest.fixture(scope="module")
def small() -> Signal:
    phantom = ct_phantom(0, SMALL)
    return Signal(
        phantom.values[np.newaxis], SPEC.axes, "HU", phantom.spacing, "int16", {"affine": phantom.affine.tolist()}
    )


@pytest.mark.parametrize(("compared", "width"), [(True, 1800), (False, 900)], ids=["compared", "alone"])
def test_a_preview_is_a_png(small: Signal, tmp_path: Path, compared: bool, width: int) -> None:
    decoded = replace(small, values=small.values // 8 * 8)
    CT(SPEC).preview(small if compared else None, decoded, tmp_path / "a.png", "a phantom")
    content = (tmp_path / "a.png").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    wide, high = struct.unpack(">II", content[16:24])
    assert (wide, 500 < high < 1600) == (width, True)
    assert 50_000 < len(content) < 3_000_000


def test_a_preview_without_an_affine(small: Signal, tmp_path: Path) -> None:
    CT(SPEC).preview(None, replace(small, metadata={}), tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_a_preview_of_two_shapes_is_refused(small: Signal, tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match="expected a reconstruction of shape"):
        CT(SPEC).preview(small, replace(small, values=small.values[:, 1:]), tmp_path / "a.png")
    with pytest.raises(ShapeError, match="1, X, Y, Z"):
        CT(SPEC).preview(None, replace(small, values=np.zeros((2, 3, 3, 3))), tmp_path / "a.png")

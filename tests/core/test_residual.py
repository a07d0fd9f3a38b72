"""The coder of what is left of samples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liveaction.coding.residual import decode_residual, encode_residual, most_residual
from liveaction.coding.residual_numba import MOST, VERBATIM
from liveaction.errors import FormatError

SHAPES = [(1, 1), (1, 63), (3, 7, 9), (1, 5, 6, 7), (2, 3, 1, 4, 5), (5, 1, 1), (1, 1, 64)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("size", [0.0, 0.4, 3.0, 4000.0, 1e8])
def test_integers_come_back(shape: tuple[int, ...], size: float) -> None:
    rng = np.random.default_rng(1)
    values = np.clip(np.rint(rng.laplace(0, size, shape) if size else np.zeros(shape)), -MOST, MOST).astype(np.int64)
    values.flat[0], values.flat[-1] = VERBATIM, -MOST
    skip = rng.random(shape) < 0.2
    expected = np.where(skip, 0, values)
    data = encode_residual(values, skip)
    assert len(data) <= most_residual(values.size)
    np.testing.assert_array_equal(decode_residual(data, shape, skip), expected)


@given(st.lists(st.integers(-MOST, MOST) | st.just(VERBATIM), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_whatever_they_are(values: list[int]) -> None:
    array = np.array(values, np.int64).reshape(1, -1)
    np.testing.assert_array_equal(decode_residual(encode_residual(array), array.shape), array)


def test_takes_little_more_than_the_entropy_of_noise_and_next_to_nothing_for_zeros() -> None:
    rng = np.random.default_rng(2)
    values = np.rint(rng.normal(0, 1.0, (1, 32, 48, 40))).astype(np.int64)
    _, counts = np.unique(values, return_counts=True)
    share = counts / values.size
    entropy = float(-(share * np.log2(share)).sum())
    assert 8 * len(encode_residual(values)) / values.size < 1.02 * entropy
    assert len(encode_residual(np.zeros((1, 64, 64, 64), np.int64))) < 64


def test_learns_from_what_lies_around() -> None:
    rng = np.random.default_rng(3)
    busy = np.repeat(np.repeat(rng.random((6, 8)) < 0.5, 8, 0), 8, 1)
    values = np.where(busy, np.rint(rng.normal(0, 4, (48, 64))), 0).astype(np.int64)[None]
    apart = values.reshape(-1)[rng.permutation(values.size)].reshape(values.shape)
    assert len(encode_residual(values)) < 0.85 * len(encode_residual(apart))


def test_damage_is_no_crash() -> None:
    rng = np.random.default_rng(4)
    values = np.rint(rng.laplace(0, 2, (1, 20, 30))).astype(np.int64)
    data = encode_residual(values)
    refused = 0
    for _ in range(80):
        wrong = bytearray(data)
        wrong[rng.integers(len(data))] ^= int(rng.integers(1, 256))
        try:
            found = decode_residual(bytes(wrong), values.shape)
        except FormatError:
            refused += 1
        else:
            assert found.shape == values.shape
    assert refused > 40
    with pytest.raises(FormatError, match="residuals that end"):
        decode_residual(data + b"\x01\x02\x03\x04\x05\x06", values.shape)
    with pytest.raises(FormatError, match="255"):
        decode_residual(b"\xff\xff\xff\xff", (1, 4))

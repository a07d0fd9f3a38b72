"""Further levels of a band inside a chunk: exact, non-expansive, what PyWavelets has."""

import numpy as np
import pytest

from liveaction.errors import SpecError
from liveaction.transforms.continuation import LONGEST_MATRIX, Continuation
from liveaction.transforms.wavelet import packet_matrix

EXTENTS = [(16, 16, 16), (7, 1, 13), (5,), (1,), (2,), (LONGEST_MATRIX + 45,), (33, 64), (2, 3, 4, 5)]


@pytest.mark.parametrize("wavelet", ["bior2.2", "bior4.4", "bior6.8"])
@pytest.mark.parametrize("extents", EXTENTS, ids=str)
def test_join_inverts_split_at_any_extents(wavelet: str, extents: tuple[int, ...]) -> None:
    continuation = Continuation(wavelet, ((1,) * len(extents),) * 3)
    x = np.random.default_rng(0).standard_normal((3, *extents)).astype(np.float32)
    parts = continuation.split(x)
    assert [part.shape[1:] for part in parts] == continuation.shapes(extents)
    assert [len(part) for part in parts] == [3 * bands for bands in continuation.bands()]
    back = continuation.join(parts, extents)
    assert np.abs(back - x).max() <= 1e-5 * np.abs(x).max()


def test_steps_split_the_axes_that_they_name() -> None:
    continuation = Continuation("bior6.8", ((1, 1, 0), (1, 1, 1), (0, 0, 1)))
    x = np.random.default_rng(1).standard_normal((2, 9, 8, 7)).astype(np.float32)
    parts = continuation.split(x)
    assert [part.shape for part in parts] == [(2, 3, 2, 2), (2, 3, 2, 2), (14, 3, 2, 4), (6, 5, 4, 7)]
    assert np.abs(continuation.join(parts, (9, 8, 7)) - x).max() < 1e-5


@pytest.mark.parametrize("extents", EXTENTS, ids=str)
def test_there_are_as_many_coefficients_as_samples(extents: tuple[int, ...]) -> None:
    """What pads the high passes of odd axes is 0, whatever the band holds."""
    continuation = Continuation("bior4.4", ((1,) * len(extents),) * 2)
    x = np.random.default_rng(2).standard_normal((1, *extents)).astype(np.float32)
    assert sum(np.count_nonzero(part) for part in continuation.split(x)) <= x.size


@pytest.mark.parametrize("wavelet", ["bior4.4", "bior6.8"])
def test_a_level_of_an_even_axis_is_the_packets_own(wavelet: str) -> None:
    x = np.random.default_rng(3).standard_normal((1, 32)).astype(np.float32)
    low, high = Continuation(wavelet, ((1,),)).split(x)
    expected = packet_matrix(wavelet, 1, 32, "symmetric") @ x[0].astype(np.float64)
    assert np.allclose(np.concatenate([low[0], high[0]]), expected, atol=1e-6)


@pytest.mark.parametrize("extents", [(12,), (13,), (9, 6), (LONGEST_MATRIX + 1,)], ids=str)
def test_a_constant_has_no_details(extents: tuple[int, ...]) -> None:
    low, *details = Continuation("bior6.8", ((1,) * len(extents),) * 2).split(np.ones((1, *extents), np.float32))
    assert all(np.abs(part).max() < 1e-5 for part in details)
    assert np.allclose(low, low.flat[0], atol=1e-5)


def test_long_axes_are_transformed_as_short_ones() -> None:
    """Gathered tap by tap, far from the ends an axis gives what a shorter one gives as a matrix."""
    x = np.random.default_rng(4).standard_normal((1, LONGEST_MATRIX + 64)).astype(np.float32)
    continuation = Continuation("bior6.8", ((1,),))
    long, short = continuation.split(x), continuation.split(x[:, :128])
    for whole, part in zip(long, short, strict=True):
        assert np.allclose(whole[:, :48], part[:, :48], atol=1e-5)


def test_filters_of_even_length_are_refused() -> None:
    with pytest.raises(SpecError, match=r"expected a wavelet with filters of odd length, got 'bior3\.5'"):
        Continuation("bior3.5", ((1,),))
    Continuation("bior3.5", ())

"""Moments of channels in one pass: pieces, missing values, bad bands; and the basis that a fit makes of them."""

import numpy as np
import pytest

from liveaction.codec.channel_moments import ChannelMoments
from liveaction.codec.own_basis import fit_from
from liveaction.errors import FormatError


def scene(channels: int, shape: tuple[int, ...], sources: int, noise: float, seed: int = 0) -> np.ndarray:
    """``[C, *S]``: smooth spectra mixed by random abundances, each source half the one before, and white noise."""
    rng = np.random.default_rng(seed)
    spectra = np.cumsum(rng.standard_normal((channels, sources)), 0) / channels**0.5
    x = np.tensordot(spectra * 0.5 ** np.arange(sources), rng.standard_normal((sources, *shape)), 1)
    return (0.3 * x + noise * rng.standard_normal(x.shape) + 0.2).astype(np.float32)


@pytest.mark.parametrize("with_missing", [False, True])
def test_odd_pieces_give_the_moments_of_the_whole(with_missing):
    rng = np.random.default_rng(1)
    x = scene(7, (65, 63), 4, 0.1)
    gone = rng.random(x.shape) < 0.1 if with_missing else None
    whole, pieces = ChannelMoments(7), ChannelMoments(7)
    whole.add(x, gone)
    for rows in np.split(np.arange(65), [1, 1, 8, 63]):
        for columns in np.split(np.arange(63), [7]):
            box = np.ix_(np.arange(7), rows, columns)
            pieces.add(x[box], None if gone is None else gone[box])
    assert pieces.seen == whole.seen == 65 * 63
    np.testing.assert_allclose(pieces.mean(), whole.mean(), atol=1e-14)
    np.testing.assert_allclose(pieces.covariance(), whole.covariance(), atol=1e-14)
    boxes = ((part, None) for part in np.array_split(x, 9, 1))
    assert np.array_equal(fit_from(boxes, 0.05).symbols, fit_from([(x, None)], 0.05).symbols)


def test_moments_are_the_textbook_ones_beyond_a_block():
    x = scene(3, (400_001,), 2, 0.2)
    moments = ChannelMoments(3)
    moments.add(x)
    np.testing.assert_allclose(moments.mean(), x.astype(np.float64).mean(1), atol=1e-13)
    np.testing.assert_allclose(moments.covariance(), np.cov(x.astype(np.float64), bias=True), atol=1e-13)


def test_covariances_are_of_the_positions_where_both_channels_are_there():
    x = scene(5, (31, 33), 3, 0.2)
    gone = np.random.default_rng(2).random(x.shape) < 0.3
    filled = np.where(gone, np.float32(np.nan), x)
    moments = ChannelMoments(5)
    for part in range(31):
        moments.add(filled[:, part], gone[:, part])
    x64, there = x.reshape(5, -1).astype(np.float64), ~gone.reshape(5, -1)
    found = moments.covariance()
    for i in range(5):
        assert moments.mean()[i] == pytest.approx(x64[i, there[i]].mean(), abs=1e-12)
        for j in range(5):
            both = there[i] & there[j]
            assert found[i, j] == pytest.approx(np.cov(x64[i, both], x64[j, both], bias=True)[0, 1], abs=1e-12)


def test_a_bad_band_has_no_loadings_and_disturbs_no_other():
    x = scene(9, (30, 31), 3, 0.02)
    gone = np.zeros(x.shape, bool)
    gone[[0, 5]] = True
    others = np.setdiff1d(np.arange(9), [0, 5])
    spoilt = np.where(gone, np.float32(np.nan), x)
    bad, good = fit_from([(spoilt, gone)], 0.02), fit_from([(x[others], None)], 0.02)
    assert not bad.symbols[:, [0, 5]].any() and not bad.matrix[:, [0, 5]].any()
    assert np.array_equal(bad.symbols[:, others], good.symbols)
    # and it may be there in some boxes only, its values far from 0 where it is
    moments = ChannelMoments(9)
    moments.add(spoilt, gone)
    late = x.copy()
    late[0] += 1000
    moments.add(late)
    assert moments.mean()[0] == pytest.approx(late[0].mean(dtype=np.float64), rel=1e-6)
    assert moments.covariance()[0, 0] == pytest.approx(late[0].var(dtype=np.float64), rel=1e-6)


def test_channels_that_share_no_position_are_taken_as_unrelated():
    x = scene(2, (2, 64), 1, 0.0)
    gone = np.zeros(x.shape, bool)
    gone[0, 0] = gone[1, 1] = True
    moments = ChannelMoments(2)
    moments.add(x, gone)
    assert moments.covariance()[0, 1] == 0 and (np.diagonal(moments.covariance()) > 0).all()


def test_two_channels_that_share_few_positions_covary_no_more_than_they_vary():
    x = np.array([[9, -9, 0.1, -0.1, 0.1, -0.1], [9, -9, 0.1, -0.1, 0.1, -0.1]], np.float32)
    gone = np.array([[0, 0, 0, 0, 0, 0], [0, 0, 1, 1, 1, 1]], bool)
    gone[0, 2:], gone[1, 2:] = False, True
    moments = ChannelMoments(2)
    moments.add(x, gone)
    assert np.linalg.eigvalsh(moments.covariance()).min() > -1e-9


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(value):
    x = scene(3, (9, 9), 2, 0.1)
    x[1, 4, 4] = value
    with pytest.raises(FormatError, match="expected finite values, got NaN or infinity; mask what was not measured"):
        fit_from([(x, None)], 0.1)

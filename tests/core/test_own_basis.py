"""The basis of a signal's own channels: moments in one pass, what is sent, what comes back."""

import struct
from collections.abc import Callable

import numpy as np
import pytest
import torch

from liveaction.codec.channel_moments import MOST_CHANNELS, ChannelMoments
from liveaction.codec.own_basis import OwnBasis, _paying, box_stride, fit_from, fit_own_basis
from liveaction.codec.own_basis_coding import LEAST_SINE, orthonormal, pack
from liveaction.coding.layout import LARGEST
from liveaction.errors import FormatError, ShapeError, SpecError


def scene(channels: int, shape: tuple[int, ...], sources: int, noise: float, seed: int = 0) -> np.ndarray:
    """``[C, *S]``: smooth spectra mixed by random abundances, each source half the one before, and white noise."""
    rng = np.random.default_rng(seed)
    spectra = np.cumsum(rng.standard_normal((channels, sources)), 0) / channels**0.5
    x = np.tensordot(spectra * 0.5 ** np.arange(sources), rng.standard_normal((sources, *shape)), 1)
    return (0.3 * x + noise * rng.standard_normal(x.shape) + 0.2).astype(np.float32)


def basis_of(x: np.ndarray, step: float) -> OwnBasis:
    return fit_from([(x, None)], step)


def sent(basis: OwnBasis) -> OwnBasis:
    return OwnBasis.from_bytes(basis.to_bytes(), basis.channels, basis.components, basis.step, "stream")


@pytest.mark.parametrize("channels", [1, 2, 7, 63, 65])
def test_what_is_sent_gives_the_very_same_orthonormal_rows_and_mean(channels):
    basis = basis_of(scene(channels, (33, 31), min(channels, 5), 0.01), 0.02)
    other = sent(basis)
    assert np.array_equal(other.symbols, basis.symbols) and other.scale == basis.scale
    assert np.array_equal(other.matrix, basis.matrix) and np.array_equal(other.mean, basis.mean)
    assert other.matrix.shape == (basis.components, channels) and basis.components >= 1
    assert np.abs(other.matrix @ other.matrix.T - np.eye(basis.components)).max() < 1e-13
    products = (other.matrix * other.symbols[1:]).sum(1)
    assert (products > 0).all()


def test_rows_are_the_eigenvectors_as_far_as_the_step_shows_them():
    x = scene(17, (101, 99), 3, 0.001)
    covariance = np.cov(x.reshape(17, -1).astype(np.float64), bias=True)
    vectors = np.linalg.eigh(covariance)[1][:, ::-1].T
    basis = basis_of(x, 0.001)
    assert basis.components >= 3
    # an entry is rounded by half of step / sqrt(N) at most, and the third deviation here is some 100 steps
    assert np.abs(np.abs((vectors[:3] * basis.matrix[:3]).sum(1)) - 1).max() < 1e-6
    np.testing.assert_allclose(basis.mean, x.reshape(17, -1).mean(1), atol=0.001 / x[0].size ** 0.5)


def test_all_components_give_the_channels_back_and_carry_errors_one_to_one():
    x = torch.from_numpy(scene(9, (7, 65, 3), 9, 0.1))
    basis = sent(basis_of(x.numpy(), 0.01))
    assert basis.components == 9
    c = basis.analyse(x)
    assert c.shape == (9, 7, 65, 3) and c.dtype == torch.float32
    assert (basis.synthesise(c) - x).abs().max() < 2e-6
    rounded = torch.round(c / 0.01) * 0.01
    error = (basis.synthesise(rounded) - x).double().square().sum()
    assert abs(error / (rounded - c).double().square().sum() - 1) < 1e-4


def test_components_hold_what_the_best_ones_of_their_number_hold():
    x = scene(40, (64, 63), 6, 0.003)
    moments = ChannelMoments(40)
    moments.add(x)
    variances = np.linalg.eigvalsh(moments.covariance())[::-1]
    for step in (0.2, 0.05, 0.0125):
        basis = fit_own_basis(moments, step, x[0].size)
        lost = variances.sum() - np.trace(basis.matrix @ moments.covariance() @ basis.matrix.T)
        # rounding the vectors moves at most (C - K) K step**2 / 12 over N positions out of their span, and vectors of
        # little variance, which are kept beside, some more
        allowed = (40 - basis.components) * basis.components * step**2 / 12 / x[0].size
        assert variances[basis.components :].sum() - 1e-9 <= lost < variances[basis.components :].sum() + 3 * allowed
        c = basis.analyse(torch.from_numpy(x))
        error = (basis.synthesise(c).numpy().astype(np.float64) - x) ** 2
        assert abs(error.sum() / x[0].size - lost) < 0.01 * lost + 1e-6


def test_noise_below_the_step_gets_no_components_and_a_finer_step_finds_them():
    x = scene(24, (50, 50), 3, 0.01)
    counts = [basis_of(x, step).components for step in (10.0, 0.2, 0.05, 0.02)]
    assert counts[0] == 0 and counts[1] <= 3 and counts[2] == 3 and counts[3] == 24


def test_few_positions_pay_for_fewer_vectors():
    x = scene(200, (4, 4), 15, 0.0)
    moments = ChannelMoments(200)
    moments.add(x)
    few, many = (fit_own_basis(moments, 0.05, n) for n in (16, 16 << 20))
    above = int((np.linalg.eigvalsh(moments.covariance()) >= 0.05**2 / 12).sum())
    assert few.components < above <= many.components
    assert len(few.to_bytes()) < len(many.to_bytes()) / 3


def test_a_constant_signal_is_its_mean():
    x = torch.full((5, 7, 9), 0.7) + torch.arange(5.0)[:, None, None]
    basis = sent(basis_of(x.numpy(), 0.05))
    assert basis.components == 0 and basis.matrix.shape == (0, 5)
    c = basis.analyse(x)
    assert c.shape == (0, 7, 9)
    back = basis.synthesise(c)
    assert back.shape == (5, 7, 9) and (back - x).abs().max() <= 0.05 / 63**0.5
    assert len(basis.to_bytes()) < 30


@pytest.mark.parametrize("shape", [(), (1,), (0,), (7, 0, 3)])
def test_positions_may_be_one_or_none(shape):
    basis = basis_of(scene(3, (40,), 2, 0.1), 0.1)
    x = torch.randn(3, *shape)
    c = basis.analyse(x)
    assert c.shape == (basis.components, *shape) and basis.synthesise(c).shape == (3, *shape)
    empty = fit_from([(x.numpy(), None)], 0.1)
    assert empty.components == 0 and sent(empty).channels == 3


def test_one_channel_is_itself_less_its_mean():
    x = scene(1, (500,), 1, 0.3)
    basis = sent(basis_of(x, 0.02))
    assert basis.matrix.tolist() == [[1.0]]
    assert (basis.analyse(torch.from_numpy(x)).numpy() - (x - basis.mean.astype(np.float32))).max() == 0


def test_values_far_from_0_keep_their_small_variance():
    noise = np.random.default_rng(3).standard_normal((4, 5001)) * [[8.0], [1.0], [1.0], [1.0]] * 2.0**-16
    x = (1000 + noise).astype(np.float32)
    moments = ChannelMoments(4)
    moments.add(x)
    exact = np.cov(x.astype(np.float64) - 1000, bias=True)
    np.testing.assert_allclose(moments.covariance(), exact, atol=1e-9 * exact.max())
    basis = sent(fit_own_basis(moments, 2.0**-15, 5001))
    assert basis.components == 4
    assert (basis.synthesise(basis.analyse(torch.from_numpy(x))).numpy() - x).max() <= 2.0**-13  # of float32 at 1000


def test_a_great_many_positions_take_a_coarser_quantum_and_no_larger_numbers():
    x = scene(6, (64, 64), 4, 0.0)
    moments = ChannelMoments(6)
    moments.add(x)
    for positions, step in ((10**4, 0.05), (10**8, 0.01), (10**12, 2.0**-20), (10**12, 2.0**-40)):
        basis = sent(fit_own_basis(moments, step, positions))
        assert np.abs(basis.symbols).max() < LARGEST and basis.components >= 3
        # coarser by powers of two, so at most twice as coarse as it must be
        ratio = basis.scale.quanta(step)[1] / (step / positions**0.5)
        assert ratio > 1.1 and (ratio < 2.2 or np.abs(basis.symbols[1:]).max() >= LARGEST // 3)
        np.testing.assert_allclose(basis.mean, moments.mean(), atol=max(1.2 * step / positions**0.5, 2.0**-23))


@pytest.mark.parametrize("size", [2.0**-100, 1.0, 2.0**120])
@pytest.mark.parametrize("step", [2.0**-100, 2.0**100])
def test_steps_and_values_at_the_ends_of_their_ranges(size, step):
    x = (scene(3, (30, 30), 3, 0.1) * size).astype(np.float32)
    basis = sent(fit_from([(x, None)], step, 1 << 40))
    assert basis.components == (3 if step <= size else 0)
    assert np.isfinite(basis.mean).all() and np.isfinite(basis.matrix).all()


def test_vectors_are_coarser_where_they_leave_few_directions_open():
    rng = np.random.default_rng(6)
    for deviations, octaves in (([1] * 8, 1.0), ([1] * 4 + [1e-3] * 4, 0.5), ([1] + [1e-3] * 7, 0.0)):
        x = (rng.standard_normal((8, 10_000)) * np.array(deviations)[:, None]).astype(np.float32)
        basis = basis_of(x, 0.1)
        assert basis.components == deviations.count(1)
        assert abs(np.log2(basis.scale.quanta(0.1)[1] * 100 / 0.1) - octaves) <= 0.25


def test_what_rounding_leaves_of_small_vectors_is_sent_only_where_independent():
    # loadings of one or two quanta: of 25 positions in 12 channels many vectors round to the same few numbers
    x = np.random.default_rng(4).standard_normal((12, 25)).astype(np.float32)
    for step in np.linspace(1, 4, 41):
        basis = sent(basis_of(x, float(step)))
        assert np.abs(basis.matrix @ basis.matrix.T - np.eye(basis.components)).max(initial=0) < 1e-12


def test_a_vector_that_the_others_make_up_is_not_sent_whatever_its_variance():
    rows = np.array([[5, 5, 5], [900, 31, 7], [2700, 93, 21], [1 << 22, 1, 0], [1 << 22, 40, 0], [0, 0, 1]], np.int32)
    kept = _paying(rows, 1e6 * np.eye(3), 1e-6, 1e-9)
    assert kept.tolist() == rows[[0, 1, 3, 5]].tolist()
    assert np.isfinite(orthonormal(kept[1:], "basis")).all()


def test_it_takes_blocks_without_a_seam(monkeypatch: pytest.MonkeyPatch):
    x = torch.from_numpy(scene(5, (13, 17), 3, 0.1))
    basis = basis_of(x.numpy(), 0.05)
    c, y = basis.analyse(x), basis.synthesise(basis.analyse(x))
    monkeypatch.setattr("liveaction.codec.own_basis._BLOCK", 5 * 7)
    assert (basis.analyse(x) - c).abs().max() < 1e-6 and (basis.synthesise(c) - y).abs().max() < 1e-6
    turned = x.transpose(1, 2)
    assert torch.equal(basis.analyse(turned), basis.analyse(turned.contiguous()))


def test_sizes_and_dtypes_that_do_not_fit_are_refused():
    basis = basis_of(scene(4, (20, 20), 2, 0.1), 0.1)
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: ChannelMoments(0), "expected 1 to 4096 channels, got 0"),
        (lambda: ChannelMoments(MOST_CHANNELS + 1), "expected 1 to 4096 channels, got 4097; make one of them an axis"),
        (lambda: ChannelMoments(3).add(np.zeros((4, 2), np.float32)), r"values of 3 channels, got \(4, 2\)"),
        (lambda: ChannelMoments(2).add(np.zeros((2, 3), np.float32), np.zeros((2, 2), bool)), "expected missing of"),
        (lambda: fit_from([], 0.1), "expected at least one box of the signal, got none"),
        (lambda: basis.analyse(torch.zeros(5, 2)), r"expected 4 channels of float32, got \(5, 2\)"),
        (lambda: basis.analyse(torch.zeros(4, 2, dtype=torch.float16)), "got .* of torch.float16"),
        (lambda: basis.synthesise(torch.zeros(5, 2)), "components of float32"),
    ]
    for call, words in cases:
        with pytest.raises(ShapeError, match=words):
            call()


def test_a_step_that_is_no_step_is_refused():
    with pytest.raises(SpecError, match="own basis: step: expected a positive number, got 0"):
        basis_of(scene(2, (9,), 1, 0.1), 0)


def test_a_large_signal_is_seen_in_part():
    assert box_stride(0) == box_stride(1 << 28) == 1
    assert box_stride((1 << 28) + 1) == 2 and box_stride(10 << 28) == 10


def test_bytes_that_are_no_basis_are_refused():
    basis = basis_of(scene(6, (40, 41), 3, 0.001), 0.02)
    data, k = basis.to_bytes(), basis.components
    twice = pack(np.concatenate([basis.symbols, basis.symbols[1:2]]), basis.scale)
    summed = pack(np.concatenate([basis.symbols, basis.symbols[1:].sum(0, keepdims=True)]), basis.scale)
    none = pack(np.concatenate([basis.symbols, basis.symbols[1:2] * 0]), basis.scale)
    cases = [
        (data, 0, 0, "expected 1 to 4096 channels, got 0"),
        (data, 1 << 40, 0, "expected 1 to 4096 channels"),
        (data, 6, 7, "expected 0 to 6 components of 6 channels, got 7"),
        (data, 6, -1, "expected 0 to 6 components of 6 channels, got -1"),
        (data, 4096, 1025, "expected 0 to 1024 components of 4096 channels, got 1025"),
        (b"", 6, k, "expected a scale of 3 bytes first, got 0 bytes"),
        (data[:4], 6, k, "expected 5 bytes and an even number more"),
        (data[:-2], 6, k, "words of symbols|expected"),
        (data + b"\0\0", 6, k, "words of symbols"),
        (struct.pack("<h", -2049) + data[2:], 6, k, "expected an exponent of at most 2048 in size, got -2049"),
        (struct.pack("<h", -2048) + data[2:], 6, k, "expected means within float32"),
        (none, 6, k + 1, f"expected vectors other than 0, got one at {k}"),
        (twice, 6, k + 1, f"expected independent vectors, got one at {k} that those before it make up"),
        (summed, 6, k + 1, f"expected independent vectors, got one at {k}"),
    ]
    for bad, channels, components, words in cases:
        with pytest.raises(FormatError, match=f"^stream.*: .*(?:{words})"):
            OwnBasis.from_bytes(bad, channels, components, 0.02, "stream")


def test_damaged_bytes_give_an_orthonormal_basis_or_an_error():
    basis = basis_of(scene(12, (40, 41), 4, 0.01), 0.02)
    data, rng, good = basis.to_bytes(), np.random.default_rng(5), 0
    for _ in range(300):
        bad = bytearray(data)
        for at in rng.integers(0, len(bad), rng.integers(1, 4)):
            bad[at] = rng.integers(256)
        try:
            found = OwnBasis.from_bytes(bytes(bad), 12, basis.components, 0.02, "stream")
        except FormatError:
            continue
        good += 1
        assert np.isfinite(found.mean).all()
        assert np.abs(found.matrix @ found.matrix.T - np.eye(basis.components)).max() < 1e-12
    assert good < 150


def test_more_vectors_than_channels_that_are_not_0_are_dependent():
    with pytest.raises(FormatError, match="basis: expected independent vectors, got one at 2 that"):
        orthonormal(np.array([[1, 0, 2], [2, 0, 1], [1, 0, 1]], np.int32), "basis")


def test_nearly_dependent_vectors_are_told_from_dependent_ones():
    far = 1 << 22
    near = np.array([[far, 0, 0], [far, 2, 0]], np.int32)  # a sine of 2**-21
    with pytest.raises(FormatError, match="independent"):
        orthonormal(near, "basis")
    wide = np.array([[far, 0, 0], [far, 8, 0]], np.int32)
    assert 8 / far > LEAST_SINE
    np.testing.assert_allclose(orthonormal(wide, "basis"), [[1, 0, 0], [0, 1, 0]], atol=1e-9)

"""Filters, matrices and banks of one axis: reflection, inverses, where the bank begins, how far it reaches."""

import numpy as np
import pytest
import pywt
import torch

from liveaction.errors import SpecError
from liveaction.transforms import wavelet as banks
from liveaction.transforms.packet import WaveletPacket
from liveaction.transforms.wavelet import (
    filter_bank,
    level_filters,
    packet_inverse,
    packet_matrix,
    reflection,
    split_levels,
    support,
)

INVERTIBLE = ("symmetric", "periodic")


def test_filters_are_those_of_pywavelets():
    low, high = level_filters("bior4.4")
    assert low.tolist() == pywt.Wavelet("bior4.4").dec_lo and high.tolist() == pywt.Wavelet("bior4.4").dec_hi
    for name in ("nothing", "morl"):
        with pytest.raises(SpecError, match=rf"\[codec\] wavelet: expected a discrete wavelet .*, got '{name}'"):
            level_filters(name)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("bior4.4", 0), ("bior2.2", 0), ("rbio2.4", 0), ("bior6.8", 0), ("haar", 1), ("bior1.3", 1), ("bior3.5", 1)],
)
def test_odd_filters_reflect_about_the_end_sample_and_even_ones_about_the_edge(name, kind):
    assert reflection(name) == kind


@pytest.mark.parametrize("name", ["db4", "sym5", "coif1"])
def test_filters_without_symmetry_have_no_symmetric_rule(name):
    words = rf"\[codec\] boundary: expected periodic for '{name}', whose filters are not symmetric, got 'symmetric'"
    with pytest.raises(SpecError, match=words):
        reflection(name)
    with pytest.raises(SpecError, match="are not symmetric"):
        filter_bank(name, 1, "symmetric")


@pytest.mark.parametrize("n", [2, 4, 6, 10, 32])
@pytest.mark.parametrize("name", ["haar", "bior4.4", "db4", "bior1.3"])
def test_one_periodic_level_is_that_of_pywavelets(name, n):
    x = np.random.default_rng(0).standard_normal(n)
    expected = np.concatenate(pywt.dwt(x, name, "periodization"))
    assert np.abs(packet_matrix(name, 1, n, "periodic") @ x - expected).max() <= 1e-12 * np.abs(expected).max()


@pytest.mark.parametrize(("name", "kind"), [("bior4.4", "reflect"), ("bior2.2", "reflect"), ("bior1.3", "symmetric")])
def test_one_symmetric_level_reads_a_reflected_axis(name, kind):
    """NumPy's ``reflect`` is about the end sample, its ``symmetric`` about the edge behind it."""
    n = 14
    x = np.random.default_rng(0).standard_normal(n)
    taps = level_filters(name)
    length = len(taps[0])
    padded = np.pad(x, length, mode=kind)
    at = length + 2 * np.arange(n // 2)[:, None] + length // 2 - np.arange(length)
    expected = np.concatenate([padded[at] @ band for band in taps])
    assert np.abs(packet_matrix(name, 1, n, "symmetric") @ x - expected).max() < 1e-12


@pytest.mark.parametrize("boundary", INVERTIBLE)
@pytest.mark.parametrize("name", ["haar", "bior4.4", "bior3.5", "rbio2.4"])
@pytest.mark.parametrize(("levels", "n"), [(1, 2), (1, 6), (2, 4), (3, 8), (3, 24), (5, 32)])
def test_the_inverse_undoes_the_matrix(name, levels, n, boundary):
    matrix, inverse = packet_matrix(name, levels, n, boundary), packet_inverse(name, levels, n, boundary)
    assert np.abs(inverse @ matrix - np.eye(n)).max() < 1e-12
    assert np.abs(matrix @ inverse - np.eye(n)).max() < 1e-12


def test_a_transform_that_loses_information_is_refused(monkeypatch):
    monkeypatch.setattr(banks, "packet_matrix", lambda *_: np.ones((4, 4)))
    with pytest.raises(SpecError, match=r"expected an invertible transform, got 'haar' with 2 levels on 4 samples"):
        packet_inverse.__wrapped__("haar", 2, 4, "periodic")


def test_filters_that_only_come_close_are_refused(monkeypatch):
    # a slow tail in the inverse: these two filters are no filter bank with finite synthesis
    monkeypatch.setattr(banks, "level_filters", lambda _: (np.array([0.1, 0.9, 0.6, 0.1]), np.array([0, 0.5, -0.6, 0])))
    for name in ("packet_matrix", "packet_inverse"):
        monkeypatch.setattr(banks, name, getattr(banks, name).__wrapped__)
    with pytest.raises(SpecError, match=r"expected perfect reconstruction by filters, got 'made up'"):
        filter_bank.__wrapped__("made up", 1, "periodic")


@pytest.mark.parametrize(("levels", "stages"), [(0, []), (1, [1]), (4, [4]), (5, [3, 2]), (7, [4, 3]), (9, [3, 3, 3])])
def test_levels_are_split_into_stages_of_nearly_equal_size(levels, stages):
    assert split_levels("bior4.4", levels) == stages


def test_long_filters_take_smaller_stages():
    assert max(split_levels("dmey", 9)) == 3
    for name in ("haar", "db4", "dmey", "db38"):
        for levels in range(13):
            stages = split_levels(name, levels)
            assert sum(stages) == levels and (not stages or max(stages) - min(stages) <= 1)


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
@pytest.mark.parametrize("boundary", INVERTIBLE)
def test_tables_have_the_shapes_of_their_docstring(levels, boundary):
    bank = filter_bank("bior4.4", levels, boundary)
    factor = 2**levels
    assert bank.analysis.shape == (factor, factor + 2 * bank.pad)
    assert bank.synthesis.shape == (factor, factor, 1 + 2 * bank.synthesis_pad)
    ends = (bank.head, bank.tail, bank.synthesis_head, bank.synthesis_tail)
    assert all(end is None for end in ends) == bank.periodic == (boundary == "periodic")
    for end in ends:
        assert end is None or (end.shape[0] % factor == 0 and 2 * end.shape[1] <= bank.shortest)
    assert bank.analysis.shape[1] <= bank.shortest


@pytest.mark.parametrize("boundary", INVERTIBLE)
@pytest.mark.parametrize("name", ["haar", "bior1.3", "bior2.2", "bior4.4", "rbio3.3"])
@pytest.mark.parametrize("levels", [1, 2, 4])
def test_matrix_below_and_bank_from_the_shortest_axis_agree_with_the_exact_inverse(name, levels, boundary):
    factor = 2**levels
    first = -(-filter_bank(name, levels, boundary).shortest // factor) * factor
    packets = WaveletPacket(name, (levels,), boundary)
    for n in (first - factor, first, first + factor):
        if n == 0:
            continue
        exact = packet_matrix(name, levels, n, boundary)
        eye = torch.eye(n, dtype=torch.float64)[:, None]
        forward = packets(eye).flatten(1).T.numpy()
        assert np.abs(forward - exact).max() < 1e-12, n
        back = packets.inverse(torch.from_numpy(np.eye(n)).reshape(n, factor, n // factor))[:, 0].T.numpy()
        assert np.abs(back @ exact - np.eye(n)).max() < 1e-12, n


@pytest.mark.parametrize(
    ("name", "levels"), [("haar", 3), ("bior2.2", 1), ("bior2.2", 2), ("bior4.4", 3), ("bior4.4", 5), ("db4", 2)]
)
def test_nothing_beyond_the_support_is_read(name, levels):
    halo, factor = support(name, levels), 2**levels
    blocks = 2 * (-(-halo // factor) + 1) + 3
    n, middle = blocks * factor, blocks // 2
    packets = WaveletPacket(name, (levels,), "periodic")
    x = torch.randn(1, 1, n, dtype=torch.float64)
    first, last = middle * factor - halo, (middle + 1) * factor + halo
    assert first > 0 and last < n
    other = x.clone()
    other[..., :first] += 10
    other[..., last:] -= 10
    y = packets(x)
    assert (packets(other) - y)[..., middle].abs().max() < 1e-10
    assert (packets(other) - y).abs().max() > 1
    far = y.clone()
    far[..., torch.arange(blocks).sub(middle).abs() * factor > halo] += 10
    change = (packets.inverse(far) - x)[..., middle * factor : (middle + 1) * factor]
    assert change.abs().max() < 1e-10


def test_the_support_of_haar_is_a_block_and_of_bior44_is_no_more_than_it_needs():
    assert support("haar", 4) == 0 and support("bior4.4", 0) == 0
    bank = filter_bank("bior4.4", 3, "periodic")
    assert support("bior4.4", 3) == max(bank.pad, 8 * bank.synthesis_pad)
    assert np.abs(bank.analysis[:, [0, -1]]).max() > 0 and np.abs(bank.synthesis[..., [0, -1]]).max() > 0

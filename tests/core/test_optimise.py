"""Quantising by the coder's own costs: what is chosen is what is decoded, and cheaper than what is nearest."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liveaction.coding.costs import costs_of
from liveaction.coding.entropy import LARGEST, ideal_bits, tokens, trace_bits
from liveaction.coding.fast import FastEncoder, decode_chunk, encode_chunk
from liveaction.coding.fit import fit_latents, fit_parts
from liveaction.coding.optimise import WEIGHT, dead_zone, optimise_trace
from liveaction.coding.rdo_numba import _value_cost
from liveaction.coding.tables import generic_tables
from liveaction.errors import FormatError
from tests.core.test_entropy_parts import SHAPES, tables_of


def latents(seed, shapes, scale=1.0):
    """The first channel smooth; the others of sizes that change from place to place, much below a step."""
    rng = np.random.default_rng(seed)
    made = []
    for shape in shapes:
        size = np.exp(1.5 * np.sin(np.arange(shape[-1]) / 5 + rng.uniform(0, 6)))
        part = (rng.laplace(size=shape) * size * scale).astype(np.float32)
        part[0] = np.cumsum(part[0], -1) / 2 + 9.3 * scale
        made.append(part)
    return made


def optimise_chunk(chunk, tables, weight=WEIGHT):
    """Symbols and bytes of a chunk."""
    coder = FastEncoder([part.shape for part in chunk], tables, weight=weight)
    return [coder.add(part) for part in chunk], coder.finish()


def cost(chunk, symbols, tables, bits=None):
    """Squares of the step, bits by their weight; those of a plain encoder unless given."""
    error = sum(float(np.square(u - s).sum(dtype=np.float64)) for u, s in zip(chunk, symbols, strict=True))
    return error + WEIGHT * (ideal_bits(symbols, tables) if bits is None else bits)


def cost_of_chosen(chunk, tables):
    symbols, traces = optimise_trace(chunk, tables)
    return cost(chunk, symbols, tables, sum(trace_bits(*pair) for pair in zip(traces, tables, strict=True)))


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("scale", [0.01, 0.5, 3.0, 1e4])
def test_what_is_chosen_is_what_is_decoded(shapes, scale):
    chunk, tables = latents(1, shapes, scale), tables_of(shapes)
    symbols, data = optimise_chunk(chunk, tables)
    found = decode_chunk(data, shapes, tables, "here")
    for part, other, shape in zip(symbols, found, shapes, strict=True):
        assert part.dtype == np.int32 and part.shape == shape and np.array_equal(part, other)


@given(st.integers(0, 999), st.floats(0.05, 50), st.floats(0, 1))
@settings(deadline=None, max_examples=40)
def test_bits_of_the_walk_are_those_of_its_bytes(seed, scale, weight):
    shapes = [(3, 8, 8), (4, 15, 16)]
    chunk, tables = latents(seed, shapes, scale), tables_of(shapes)
    symbols, traces = optimise_trace(chunk, tables, weight)
    bits = sum(trace_bits(found, table) for found, table in zip(traces, tables, strict=True))
    assert abs(8 * len(optimise_chunk(chunk, tables, weight)[1]) - bits) < 0.001 * bits + 64
    assert bits < 1.15 * ideal_bits(symbols, tables) + 60  # the encoder of symbols chooses classes from these


def test_costs_less_than_what_is_nearest():
    shapes = [(2, 16, 16), (6, 32, 32)]
    fit = [latents(seed, shapes, scale) for seed in range(6) for scale in (0.1, 0.4, 2.0)]
    tables = fit_parts((dead_zone(chunk) for chunk in fit), (2, 6), 2)
    chosen = nearest = zone = 0.0
    for seed in range(20, 26):
        for scale in (0.1, 0.4, 2.0):
            chunk = latents(seed, shapes, scale)
            chosen += cost_of_chosen(chunk, tables)
            nearest += cost(chunk, [np.rint(part).astype(np.int32) for part in chunk], tables)
            zone += cost(chunk, dead_zone(chunk), tables)
    assert chosen < 0.97 * zone and chosen < 0.98 * nearest


def test_tables_fitted_to_what_is_chosen_cost_less():
    shapes = [(2, 16, 16), (6, 32, 32)]
    fit = [latents(seed, shapes, scale) for seed in range(6) for scale in (0.1, 0.4, 2.0)]
    plain = fit_parts((dead_zone(chunk) for chunk in fit), (2, 6), 2)
    again = fit_latents(fit, (2, 6), 2)
    pairs = []
    for seed in range(20, 32):
        chunk = latents(seed, shapes, 0.4)
        pairs.append([cost_of_chosen(chunk, tables) for tables in (plain, again)])
    assert np.sum(pairs, 0)[1] < 0.999 * np.sum(pairs, 0)[0]


def test_no_weight_rounds_to_nearest():
    chunk = latents(3, [(4, 9, 11)], 5.0)
    symbols, _ = optimise_chunk(chunk, tables_of([(4, 9, 11)]), 0.0)
    assert np.abs(symbols[0] - chunk[0]).max() <= 0.5


def test_weight_trades_errors_for_bits():
    chunk, tables = latents(4, [(4, 32, 32)], 2.0), tables_of([(4, 32, 32)])
    bits = [len(optimise_chunk(chunk, tables, weight)[1]) for weight in (0.0, 0.12, 0.5, 2.0, 1e6)]
    assert bits == sorted(bits, reverse=True) and bits[0] > 1.02 * bits[1] and bits[-1] <= 6


def test_a_channel_with_little_in_it_is_dropped():
    chunk = np.zeros((1, 64, 64), np.float32)
    chunk[0, 31, 7] = 1.1  # a 1 there costs some 14 bits and spares 1.2 squares
    assert optimise_chunk([chunk], tables_of([(1, 64, 64)]))[1] == encode_chunk(
        [np.zeros((1, 64, 64), np.int32)], tables_of([(1, 64, 64)])
    )
    chunk[0, 31, 7] = 3.1
    assert optimise_chunk([chunk], tables_of([(1, 64, 64)]))[0][0][0, 31, 7] in (2, 3)


@pytest.mark.parametrize("value", [0.69, -0.69, 0.0, -0.0])
def test_a_channel_without_a_latent_of_size_has_no_trace(value):
    chunk = np.full((3, 7, 65), value, np.float32)
    _, (found,) = optimise_trace([chunk], tables_of([(3, 7, 65)]))
    assert not found.classes.any() and not len(found.values) and found.magnitudes.empty.all()


@pytest.mark.parametrize("value", [3701.0, -3701.0])
def test_a_constant_costs_next_to_nothing(value):
    symbols, data = optimise_chunk([np.full((1, 64, 63), value, np.float32)], tables_of([(1, 64, 63)]))
    assert (symbols[0] == value).all() and len(data) <= 15


def test_strides_and_order_do_not_matter():
    chunk, tables = latents(0, [(3, 8, 10)], 3.0)[0], tables_of([(3, 8, 10)])
    wide = np.zeros((3, 8, 20), np.float32)
    wide[..., ::2] = chunk
    for same in (np.asfortranarray(chunk), wide[..., ::2], chunk.astype(np.float64)):
        assert optimise_chunk([same], tables)[1] == optimise_chunk([chunk], tables)[1]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, LARGEST, -LARGEST], ids=str)
def test_latents_that_are_no_symbols_are_refused(value):
    chunk = np.zeros((2, 3, 3), np.float32)
    chunk[1, 2, 2] = value
    with pytest.raises(FormatError, match=r"^latents: expected sizes below 2\*\*24, got"):
        optimise_chunk([chunk], tables_of([(2, 3, 3)]))


def test_costs_are_those_of_the_entries():
    tables = generic_tables(2, 2)
    costs = costs_of(tables.residuals, tables.classes, tables.modes)
    for row in (0, 163, 511):
        for value in (0, 1, 31, 32, 39, 40, 1000, 2**20 + 1, 2**25 + 9):
            (token,), (raw,) = tokens(np.array([value], np.uint32))
            frequency = int(tables.residuals[row, token])
            bits = 16 - np.log2(frequency) if frequency else 23 - np.log2(int(tables.residuals[row, 116]))
            assert _value_cost(costs.residuals, row, value) == pytest.approx(bits + raw, abs=1e-4)
    assert costs.classes[78, 0] == pytest.approx(16 - np.log2(int(tables.classes[78, 0])), abs=1e-5)

"""Tables of the entropy coder: checked on the way in, the same everywhere without data, better with some."""

import numpy as np
import pytest

from liveaction.coding.context_numba import magnitude, scale_of
from liveaction.coding.entropy import class_rows, ideal_bits, tokens, trace_chunk
from liveaction.coding.fast import encode_chunk
from liveaction.coding.fit import fit_tables
from liveaction.coding.layout import CLASSES, class_scales, fixed_predictors, neighbours
from liveaction.coding.priors import with_escape
from liveaction.coding.rans_numba import _put_rest, class_row
from liveaction.coding.tables import EntropyTables, generic_tables
from liveaction.errors import FormatError

DIGESTS = {
    (1, 1): "847f0bf330b0c34ea83f44bb9201ba0bd66a882e62c233a01c07d2329261ade8",
    (5, 2): "c86ec9a4dc49c42a3fad225c2b9b36a49cfc5d73621c02ce1fa0989ba79710cb",
    (64, 3): "26c59b62fcedffc34fa5415d560bc200ff5ffb020d8fbd03c86564cd3133948c",
    (3, 4): "ba5b502289b1197003c30fc0b680cf1f7570e598ccf6671d2be22f6f21fb37ab",
}


def latents(seed, channels=6, side=24, scale=1.0):
    """Smooth first channel; the others busy at the same places, each less than the one before."""
    rng = np.random.default_rng(seed)
    smooth = np.cumsum(np.cumsum(rng.normal(size=(side, side)), 0), 1)
    busy = np.exp(np.cumsum(rng.normal(size=side) * 0.7)[:, None] * np.ones(side) * 0.5)
    rest = rng.laplace(size=(channels - 1, side, side)) * busy / np.arange(1, channels)[:, None, None]
    return np.rint(scale * np.concatenate([smooth[None] * 0.3, rest])).astype(np.int32)


def examples():
    return [latents(seed, scale=scale) for seed in range(12) for scale in (0.25, 1.0, 4.0)]


@pytest.mark.parametrize(("channels", "axes"), DIGESTS, ids=str)
def test_tables_without_data_are_the_same_on_every_machine(channels, axes):
    assert generic_tables(channels, axes).digest == DIGESTS[channels, axes]


@pytest.mark.parametrize("axes", [1, 2, 3, 4])
def test_neighbours_are_causal_and_predictors_keep_a_constant(axes):
    offsets = neighbours(axes)
    assert len(set(offsets)) == len(offsets) == {1: 2, 2: 6, 3: 12, 4: 20}[axes]
    assert all(offset < (0,) * axes for offset in offsets)
    assert fixed_predictors(axes).sum(1).tolist() == [0] + [256] * (axes + 1)
    assert generic_tables(2, axes).predict.sum(1).tolist() == [256, 256]


def test_classes_are_half_octaves_around_one():
    limits, factors, bounds = class_scales()
    assert len(limits) == len(factors) == len(bounds) == CLASSES
    assert (limits[26], factors[26]) == (65, 1 << 30)
    assert bounds[25] < 1 << 16 < bounds[26] < 2 * bounds[25] and (np.diff(bounds) > 0).all()


def test_tables_come_back_from_their_arrays():
    tables = fit_tables(examples(), 6, 2)
    back = EntropyTables.from_arrays(tables.arrays(), "here")
    assert back.digest == tables.digest and (back.channels, back.axes) == (6, 2)
    assert {a.dtype.kind for a in back.arrays().values()} == {"i", "u"}


def changed(name, change):
    arrays = {key: array.copy() for key, array in generic_tables(3, 2).arrays().items()}
    arrays[name] = change(arrays[name])
    return arrays


def entry(index, value):
    def change(array):
        array[index] = value
        return array

    return change


def moved(array):
    array[0, -1] -= 1
    array[0, 0] += 1
    return array


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("axes", lambda a: a + 4, "expected axes as one uint8 from 1 to 4, got uint8"),
        ("axes", lambda a: a.astype(np.int64), "expected axes as one uint8 from 1 to 4, got int64"),
        ("axes", lambda a: a + 1, r"expected predict as int16 \(3, 12\), got int16 \(3, 6\)"),
        ("predict", lambda a: a[:0], r"expected predict as int16 \(0, 6\), got int16"),
        ("predict", lambda a: a[0, 0], r"expected predict as int16 \(0, 6\), got int16 \(\)"),
        ("predict", lambda a: a.astype(np.float32), r"expected predict as int16 \(3, 6\), got float32"),
        ("predict", entry((1, 1), 2049), "expected weights in predict of at most 2048, got 2049"),
        ("predict", entry((1, 1), -32768), "expected weights in predict of at most 2048, got 32768"),
        ("activity", entry((2, 0), 4097), "expected weights in activity of at most 4096, got 4097"),
        ("sources", entry((1, 0), 1), "expected sources among the preceding channels or -1, got others"),
        ("sources", entry((1, 0), -2), "expected sources among the preceding channels or -1, got others"),
        ("class_offset", lambda a: a[:2], r"expected class_offset as int8 \(3,\), got int8 \(2,\)"),
        ("classes", entry((5, 5), 0), "expected frequencies of classes that sum up to 65536, got others"),
        ("modes", entry((0, 1, 0), 7), "expected frequencies of modes that sum up to 65536, got others"),
        ("residuals", entry((40, 0), 7), "expected frequencies of residuals that sum up to 65536, got others"),
        ("residuals", moved, "expected frequencies of residuals from 1 on, got 0"),
    ],
)
def test_what_each_refusal_says(name, change, words):
    with pytest.raises(FormatError, match=f"^here: {words}"):
        EntropyTables.from_arrays(changed(name, change), "here")


def test_missing_and_unknown_arrays_are_refused():
    arrays = generic_tables(2, 1).arrays()
    for other in ({k: v for k, v in arrays.items() if k != "modes"}, {**arrays, "more": arrays["modes"]}, {}):
        with pytest.raises(FormatError, match=r"^here: expected tables axes, predict, .*, got"):
            EntropyTables.from_arrays(other, "here")


def test_rare_tokens_go_to_the_escape():
    row = with_escape([1 << 40, 1 << 39, 1] + [0] * 113)
    assert row.sum() == 65536 and row[2] == 0 and row[-1] == 1 and row[0] > row[1] > 21000


def test_fitted_tables_beat_those_without_data_at_every_step():
    fitted, generic = fit_tables(examples(), 6, 2), generic_tables(6, 2)
    for scale in (0.25, 1.0, 4.0):
        chunk = latents(100, scale=scale)
        assert ideal_bits([chunk], [fitted]) < 0.97 * ideal_bits([chunk], [generic])


def test_fitting_twice_gives_the_same_and_order_in_memory_does_not_matter():
    one = fit_tables(examples(), 6, 2)
    two = fit_tables((np.asfortranarray(chunk) for chunk in examples()), 6, 2)
    assert one.digest == two.digest


def test_fitting_on_nothing_but_zeros_still_codes_anything():
    tables = fit_tables([np.zeros((3, 4, 4), np.int32)], 3, 2)
    chunk = np.random.default_rng(0).integers(-500, 500, (3, 7, 5)).astype(np.int32)
    assert len(encode_chunk([chunk], [tables])) < 3 * 35 * 2.5


@pytest.mark.parametrize("examples", [[], [np.zeros((3, 4), np.int32)], [np.zeros((4, 4, 4), np.int32)]], ids=len)
def test_examples_that_do_not_fit_are_refused(examples):
    with pytest.raises(FormatError, match=r"fit_tables: expected (examples|3 channels and 2 axes)"):
        fit_tables(examples, 3, 2)


def test_what_is_counted_is_what_is_coded():
    before, offsets = (part.reshape(-1) for part in np.mgrid[: CLASSES + 1, -90:91])
    rows = [class_row(int(b), int(o)) for b, o in zip(before, offsets, strict=True)]
    assert class_rows(before, offsets).tolist() == rows
    values = np.array([32, 39, 40, 63, 64, 1000, 2**20 + 1, 2**26 - 1], np.uint32)
    words = np.zeros(4, np.uint16)
    assert tokens(values)[0].tolist() == [_put_rest(1 << 24, words, 0, int(value))[2] for value in values]


def test_magnitudes_are_those_of_the_residuals_and_around_them():
    chunk = latents(4, channels=3)
    found = trace_chunk([chunk], [generic_tables(3, 2)])[0]
    assert found.classes.all() and not found.magnitudes.empty.any()
    residuals = ((found.values.astype(int) + 1) // 2).reshape(3, -1)
    scales = [scale_of(class_scales(), int(k)) for k in found.classes]
    sizes = [[magnitude(int(r), scale) for r in row] for row, scale in zip(residuals, scales, strict=True)]
    assert np.array_equal(found.magnitudes.alone, sizes)
    wide = np.pad(np.reshape(sizes, chunk.shape), ((0, 0), (1, 1), (1, 1)), constant_values=64)
    around = wide[:, :-2, 1:-1] + wide[:, 2:, 1:-1] + wide[:, 1:-1, :-2] + wide[:, 1:-1, 2:]
    assert np.array_equal(found.magnitudes.around.reshape(chunk.shape), around)

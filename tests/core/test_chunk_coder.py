"""Chunks in parts: there and back at any extents and with any number of components, and latents that are refused."""

from typing import Any

import numpy as np
import pytest

from liveaction.codec.chunk_coder import MOST_COMPONENTS, MOST_ROWS, PREDICTED, ChunkCoder
from liveaction.coding.fast import FastDecoder, FastEncoder, rounded
from liveaction.errors import FormatError, SpecError
from liveaction.spec import CodecSpec

EXTENTS = {1: [(1,), (7,), (65,)], 2: [(1, 1), (7, 63)], 3: [(1, 7, 5), (8, 8, 8)], 4: [(2, 3, 1, 5)]}
SHAPES = [(axes, extents) for axes, found in EXTENTS.items() for extents in found]


def coder(axes: int, channels: int = 1, basis: str = "none", **codec: Any) -> ChunkCoder:
    keys = {"levels": 1, "continuation": 2, "wavelet": "bior6.8"} | codec
    spec = CodecSpec.model_validate(
        {"encoder": {"kind": "sparse", "basis": basis}, "decoder": {"kind": "linear"}, **keys}
    )
    return ChunkCoder(spec, channels, axes, channels * spec.bands(axes))


def latents(made: ChunkCoder, components: int, extents: tuple[int, ...], seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).laplace(0, 3, (components * made.latents, *extents))
    return drawn.astype(np.float32)


@pytest.mark.parametrize(("axes", "extents"), SHAPES, ids=str)
@pytest.mark.parametrize(("channels", "basis", "components"), [(1, "none", 1), (3, "trained", 1), (1, "own", 7)])
def test_join_inverts_parts(axes: int, extents: tuple[int, ...], channels: int, basis: str, components: int) -> None:
    made = coder(axes, channels, basis)
    x = latents(made, components, extents)
    parts = made.parts(x)
    assert [part.shape for part in parts] == made.shapes(components, extents)
    assert [len(part) for part in parts] == [components * rows for rows in made.rows] and len(parts) == 4
    back = made.join(parts, extents)
    assert back.shape == x.shape and np.abs(back - x).max() <= 1e-5 * np.abs(x).max()
    others = x.reshape(components, made.latents, *extents)[:, channels:]
    assert np.array_equal(parts[-1], others.reshape(-1, *extents)), "what is not split on stays as it is"


@pytest.mark.parametrize(("axes", "extents"), SHAPES, ids=str)
@pytest.mark.parametrize("dead_zone", [None, 0.0, 0.2])
def test_bytes_give_the_latents_back_within_the_step(
    axes: int, extents: tuple[int, ...], dead_zone: float | None
) -> None:
    made = coder(axes)
    x = latents(made, 1, extents)
    back = made.decode(made.encode(x, 0.5, dead_zone), 1, extents, 0.5, "x")
    parts = zip(made.parts(x), made.parts(back), strict=True)
    # of a rounded part; whoever weighs costs may take 0 in place of a symbol or two
    most = 0.5 * (0.5 + (dead_zone or 0)) if dead_zone is not None else 1.0
    assert all(np.abs(one - other).max() <= most + 1e-4 for one, other in parts)


def test_without_levels_or_a_sparse_encoder_a_chunk_is_one_part() -> None:
    plain = CodecSpec.model_validate({"levels": 2, "latent_channels": 5})
    for made, count in ((ChunkCoder(plain, 1, 2, 5), 5), (coder(2, continuation=0), 4)):
        x = latents(made, 1, (7, 9))
        (part,) = made.parts(x)
        assert np.array_equal(part, x) and np.array_equal(made.join([part], (7, 9)), x)
        assert made.shapes(1, (7, 9)) == [(count, 7, 9)] and made.predicted == made.rows == [count]


def test_a_transform_without_bands_has_no_last_part() -> None:
    made = coder(2, levels=0)
    x = latents(made, 1, (9, 7))
    assert made.shapes(1, (9, 7)) == [part.shape for part in made.parts(x)] == [(1, 3, 2), (3, 3, 2), (3, 5, 4)]
    assert np.abs(made.join(made.parts(x), (9, 7)) - x).max() < 1e-4


def test_all_coarse_rows_and_a_share_of_the_bands_are_predicted() -> None:
    made = coder(2, levels=3)
    assert made.rows == [1, 3, 3, 63] and made.predicted == [1, 3, 3, -(-63 // PREDICTED)]


def test_tables_are_for_as_many_components_as_their_rows_allow() -> None:
    assert coder(2, basis="none").most == 1 and coder(2, basis="own").most == MOST_COMPONENTS
    wide = coder(1, basis="own", levels=0, lapped=1024, continuation=0)
    assert wide.most == max(4, MOST_ROWS // 1024) and wide.tables[0].channels == wide.most * 1024
    made = coder(2, basis="own")
    assert [table.channels for table in made.tables] == [made.most * rows for rows in made.rows]


@pytest.mark.parametrize("components", [1, 3, MOST_COMPONENTS, MOST_COMPONENTS + 5])
@pytest.mark.parametrize("dead_zone", [None, 0.0])
def test_more_and_fewer_components_than_tables_were_fitted_to(components: int, dead_zone: float | None) -> None:
    made = coder(1, basis="own")
    assert [t.channels for t in made.tables_of(components)] == [components * rows for rows in made.rows]
    x = latents(made, components, (13,))
    back = made.decode(made.encode(x, 0.5, dead_zone), components, (13,), 0.5, "x")
    assert back.shape == x.shape and np.abs(back - x).max() < 1.5


def test_no_components_are_no_bytes() -> None:
    made = coder(2, basis="own")
    assert made.encode(np.zeros((0, 5, 7), np.float32), 0.5) == b""
    assert made.decode(b"", 0, (5, 7), 0.5, "x").shape == (0, 5, 7)


@pytest.mark.parametrize("dead_zone", [None, 0.0])
@pytest.mark.parametrize("place", [0, -1])
def test_latents_too_large_for_the_step_are_one_line_that_names_one_that_is_not(
    dead_zone: float | None, place: int
) -> None:
    made = coder(2)
    x = latents(made, 1, (5, 7))
    x[place, 2, 3] = 40.0
    words = (
        r"^quantiser: expected symbols below 2\*\*24, got [\d.e+]+ with step 1e-09; take a step of at least ([\de.-]+)$"
    )
    with pytest.raises(SpecError, match=words) as caught:
        made.encode(x, 1e-9, dead_zone)
    enough = float(str(caught.value).split()[-1])
    assert 40 / 2**24 < enough < 400 / 2**24
    back = made.decode(made.encode(x, enough, dead_zone), 1, (5, 7), enough, "x")
    assert np.abs(back - x).max() < 1e-4


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dead_zone", [None, 0.0])
@pytest.mark.parametrize("place", [0, -1])
def test_latents_that_are_not_finite_are_one_line(value: float, dead_zone: float | None, place: int) -> None:
    made = coder(2)
    x = latents(made, 1, (5, 7))
    x[place, 4, 0] = value
    with pytest.raises(FormatError, match=r"^latents: expected finite ones, got (nan|inf); the signal's values or the"):
        made.encode(x, 0.5, dead_zone)


def test_symbols_are_rounded_half_to_even_after_they_are_drawn_to_0() -> None:
    x = np.array([0.5, 1.5, -1.5, 2.5, 0.7, -0.71, 0.69], np.float32)
    assert rounded(x, 0.0).tolist() == [0, 2, -2, 2, 1, -1, 1]
    assert rounded(x, 0.2).tolist() == [0, 1, -1, 2, 0, -1, 0]


def test_a_part_of_another_shape_is_refused_and_bits_are_those_of_the_bytes() -> None:
    made = coder(2)
    parts = [part / np.float32(0.5) for part in made.parts(latents(made, 1, (15, 16)))]
    encoder = FastEncoder(made.shapes(1, (15, 16)), made.tables)
    with pytest.raises(FormatError, match=r"^latents: expected a part \(1, 4, 4\), got \(3, 15, 16\)$"):
        encoder.add(parts[-1])
    symbols = [encoder.add(part) for part in parts]
    data = encoder.finish()
    assert abs(8 * len(data) - encoder.bits()) < 64
    decoder = FastDecoder(data, made.shapes(1, (15, 16)), made.tables, "x")
    for part in symbols[:-1]:
        assert np.array_equal(decoder.next(), part)
    with pytest.raises(FormatError, match=r"^x: expected \d+ words of symbols, got \d+; the data are damaged$"):
        decoder.finish()
    assert np.array_equal(decoder.next(), symbols[-1])
    decoder.finish()

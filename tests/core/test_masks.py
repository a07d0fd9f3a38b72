"""Masks of missing values within chunks: there and back, short where they are simple, refused where they do not fit."""

import zlib

import numpy as np
import pytest

from liveaction.codec.chunks import BITS, MOST_RUNS, RUNS, pack_chunk, unpack_coded, unpack_mask
from liveaction.coding.varint import read_varint, write_varint, write_varints
from liveaction.errors import FormatError

CODED = b"what the entropy coder made"


def deflated(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def chunk(kind, content):
    mask = bytes([kind]) + deflated(content)
    return write_varint(len(mask)) + mask


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 7, 1, 1), (2, 63, 1, 1), (3, 5, 13, 65)])
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 1])
def test_masks_come_back(shape, share):
    missing = np.random.default_rng(0).random(shape) < share
    data = pack_chunk(CODED, missing)
    found = unpack_mask(data, shape, "here")
    assert np.array_equal(missing, np.zeros(shape, bool) if found is None else found)
    assert (found is None) == (not missing.any()) and (share > 0 or data[0] == 0)
    assert unpack_coded(data, "here") == CODED


def test_bad_bands_borders_and_chunks_without_any_value_cost_some_bytes():
    shape = (4, 32, 128, 128)  # as many values as a large chunk has
    bad, border, nothing = (np.zeros(shape, bool) for _ in range(3))
    bad[2], bad[:, 5:9], border[..., 100:], nothing[...] = True, True, True, True
    for missing, most in [(bad, 24), (border, 80), (nothing, 10)]:
        size, at = read_varint(pack_chunk(CODED, missing), 0)
        assert size <= most and at == 1
        assert np.array_equal(unpack_mask(pack_chunk(CODED, missing), shape, "here"), missing)


def test_scattered_masks_are_no_longer_than_their_bits():
    missing = np.random.default_rng(0).random((1, 63, 65, 65)) < 0.5
    size, _ = read_varint(pack_chunk(CODED, missing), 0)
    assert size <= missing.size / 8 + 64


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the length of a mask, got: expected a number of at most 9 bytes"),
        (b"\x80", "the length of a mask, got: expected a number of at most 9 bytes"),
        (b"\x80\0", "the length of a mask, got: expected the shortest form"),
        (b"\x05ab", "a mask of 5 bytes, got 3 in all"),
        (b"\x02\2x", "a mask of kind 0 or 1, got 2"),
        (b"\x03\0\xff\xff", "a deflated mask of missing values, got"),
        (b"\x01\0", "a mask of at most 64 bytes, got another size"),
        (chunk(BITS, bytes(63)), "a mask of 512 values, got another size"),
        (chunk(BITS, bytes(65)), "a mask of at most 64 bytes, got another size"),
        (chunk(RUNS, b""), "runs of 512 values in all, got others"),
        (chunk(RUNS, write_varints([511])), "runs of 512 values in all, got others"),
        (chunk(RUNS, write_varints([500, 13])), "runs of 512 values in all, got others"),
        (chunk(RUNS, write_varints([500, 0, 12])), "runs of 512 values in all, got others"),
        (chunk(RUNS, write_varints([2**62] * 4 + [512])), "runs of 512 values in all, got others"),
        (chunk(RUNS, b"\x80"), "a mask of runs, got: expected a number that ends"),
        (chunk(RUNS, bytes(MOST_RUNS + 1)), f"a mask of at most {MOST_RUNS} bytes, got another size"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(data, words):
    with pytest.raises(FormatError, match=f"^here: expected {words}"):
        unpack_mask(data, (1, 8, 8, 8), "here")


def test_masks_of_version_1_are_read_for_ever():
    missing = np.zeros((1, 8, 8, 8), bool)
    missing[0, 1] = True
    mask = zlib.compress(np.packbits(missing).tobytes())
    data = len(mask).to_bytes(4, "little") + mask + pack_chunk(CODED, None)[1:]
    assert np.array_equal(unpack_mask(data, missing.shape, "here", 1), missing)
    assert unpack_coded(data, "here", 1) == CODED
    for wrong, words in [
        (data[:3], "the length of a mask, got: 3 bytes"),
        (data[: len(mask)], f"a mask of {len(mask)} bytes, got"),
        (data[:5] + b"x" + data[6:], "a deflated mask of missing values, got"),
        ((len(mask) + 1).to_bytes(4, "little") + mask + b"x", "a mask of at most 64 bytes, got another size"),
    ]:
        with pytest.raises(FormatError, match=f"here: expected {words}"):
            unpack_mask(wrong, missing.shape, "here", 1)

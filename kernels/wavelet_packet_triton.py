# mypy: disable-error-code="import-untyped, untyped-decorator, no-untyped-def"
"""Wavelet packets in Triton: one banded matrix product per stage, fp32 data, channels innermost.

Between passes a tensor is ``[batch, *extents, channels]``. A pass that analyses ("splits") an axis appends its bands as
the fastest digit of the channel, ``[outer, N, inner] -> [outer, P, inner, F]``; synthesis ("merges") goes back. The
last axis comes first, so the first pass of analysis reads ``[B, C, *S]`` as it stands and the last one leaves channels
innermost, in the plan's order; synthesis runs the same way back. No pass but these touches the tensor.

Products. A table is kept as two fp16 parts, data are split into two in the kernel, and three of the four products are
summed in fp32. Each block of data is brought to a largest magnitude in [2**14, 2**15) by an exact power of two, and
the sum back by another: results are of fp32 grade, relative to the largest value that a block of 64 outputs reads, for
data from 2**-97 to the end of fp32. An infinity spoils the block that reads it, a NaN a row of it.

Companding. Where COMPANDED, the pass that holds the packets stores them companded, or expands them as it reads them;
where SLOPE, they are multiplied by the derivative of that at the companded packets ``c_ptr``, which lie as they do.
"""

import triton
import triton.language as tl

from liveaction.kernels.quantize_triton import _compand, _expand, _slope

_SIZES = ("blocks", "vectors", "channels", "rest", "rows", "heads", "edges", "tiles", "exponent")


@triton.jit
def _power(exponent):
    """2**exponent in fp32, exponents from -126 to 127."""
    return ((tl.maximum(exponent, -126) + 127) << 23).to(tl.float32, bitcast=True)


@triton.jit
def _add_product(total, top, x, high_ptr, low_ptr, offset):
    """Add ``x`` times a piece of the table to ``total``, both scaled by the largest magnitude yet."""
    largest = tl.max(tl.max(tl.abs(x), 1), 0)
    top_now = tl.maximum(top, largest.to(tl.int32, bitcast=True) >> 23)
    scaled = x * _power(141 - top_now)
    first = scaled.to(tl.float16)
    high = tl.load(high_ptr + offset)
    low = tl.load(low_ptr + offset)
    second = (scaled - first.to(tl.float32)).to(tl.float16)
    product = tl.dot(second, high)
    product = tl.dot(first, low, acc=product)
    product = tl.dot(first, high, acc=product)
    return total * _power(top - top_now) + product, top_now


@triton.jit
def _load_packets(x_ptr, c_ptr, offset, mask, COMPANDED: tl.constexpr, SLOPE: tl.constexpr):
    x = tl.load(x_ptr + offset, mask=mask, other=0.0)
    if COMPANDED:
        x = _expand(x)
    if SLOPE:
        x *= _slope(tl.load(c_ptr + offset, mask=mask, other=0.0), False)
    return x


@triton.jit
def _store_packets(y_ptr, c_ptr, offset, y, mask, COMPANDED: tl.constexpr, SLOPE: tl.constexpr):
    if COMPANDED:
        y = _compand(y)
    if SLOPE:
        y *= _slope(tl.load(c_ptr + offset, mask=mask, other=0.0), True)
    tl.store(y_ptr + offset, y, mask=mask)


@triton.jit(do_not_specialize=_SIZES)
def rows_kernel(
    x_ptr, high_ptr, low_ptr, c_ptr, y_ptr, blocks, channels, rest, rows, heads, edges, tiles, exponent,
    FACTOR: tl.constexpr, TILE: tl.constexpr, WINDOW: tl.constexpr, STEP: tl.constexpr, PAD: tl.constexpr,
    SHIFT: tl.constexpr, PERIODIC: tl.constexpr, MERGE: tl.constexpr, BLOCK: tl.constexpr,
    COMPANDED: tl.constexpr, SLOPE: tl.constexpr,
):  # fmt: skip
    """The pass along the innermost axis: rows ``(b, c, rest)`` of samples, packets ``[b, rest, P, c, F]``.

    A program takes ``BLOCK`` windows: for an edge tile those of as many rows, between the ends consecutive ones.
    """
    n = blocks * FACTOR
    program = tl.program_id(0)
    per_edge = tl.cdiv(rows, BLOCK)
    bank = tl.minimum(program // per_edge, edges)
    unit = (program - bank * per_edge) * BLOCK + tl.arange(0, BLOCK)
    middle = tl.maximum(tiles - edges, 1)
    row = tl.where(bank < edges, unit, unit // middle)
    edge_tile = tl.where(bank < heads, bank, tiles - edges + bank)
    tile = tl.where(bank < edges, edge_tile, heads + unit % middle)
    valid = (row < rows)[:, None]
    batch = row // (channels * rest)
    channel = row // rest % channels
    token = ((batch * rest + row % rest).to(tl.int64) * blocks)[:, None]
    sample = (row.to(tl.int64) * n)[:, None]
    channel = channel[:, None]

    m = tl.arange(0, TILE)
    total = tl.zeros((BLOCK, TILE), dtype=tl.float32)
    top = 30
    for start in tl.static_range(0, WINDOW, STEP):
        k = start + tl.arange(0, STEP)
        i = (tile * SHIFT - PAD)[:, None] + k[None, :]
        if PERIODIC:
            i = tl.where(i < 0, i + n, i)
            i = tl.where(i >= n, i - n, i)
        packet = ((token + i // FACTOR) * channels + channel) * FACTOR + i % FACTOR
        mask = valid & (i >= 0) & (i < n)
        if MERGE:
            x = _load_packets(x_ptr, c_ptr, packet, mask, COMPANDED, SLOPE)
        else:
            x = tl.load(x_ptr + sample + i, mask=mask, other=0.0)
        piece = ((bank * WINDOW + k) * TILE)[:, None] + m[None, :]
        total, top = _add_product(total, top, x, high_ptr, low_ptr, piece)
    i = (tile * TILE)[:, None] + m[None, :]
    packet = ((token + i // FACTOR) * channels + channel) * FACTOR + i % FACTOR
    mask = valid & (i < n)
    total = total * _power(-exponent) * _power(top - 141)
    if MERGE:
        tl.store(y_ptr + sample + i, total, mask=mask)
    else:
        _store_packets(y_ptr, c_ptr, packet, total, mask, COMPANDED, SLOPE)


@triton.jit
def _place(inner, channels, rest, heads, edges, tiles, BLOCK: tl.constexpr):
    """Which outer index, tile, bank and first inner index a program has; neighbours along the axis run together."""
    program = tl.program_id(0)
    blocks = tl.cdiv(inner, BLOCK)
    tile = program // blocks % tiles
    row = program // blocks // tiles
    after = tl.where(tile >= tiles - edges + heads, tile - tiles + edges, edges)
    bank = tl.where(tile < heads, tile, after)
    token = row // (channels * rest) * rest + row % rest
    return row, token, row // rest % channels, tile, bank, program % blocks * BLOCK


@triton.jit
def _permuted(x, D: tl.constexpr, A: tl.constexpr):
    """``x`` seen as the shape ``D``, its axes permuted by ``A``; 12 of them. (Triton 3.6 takes no tuple as a whole.)"""
    x = tl.reshape(x, (D[0], D[1], D[2], D[3], D[4], D[5], D[6], D[7], D[8], D[9], D[10], D[11]))
    return tl.permute(x, (A[0], A[1], A[2], A[3], A[4], A[5], A[6], A[7], A[8], A[9], A[10], A[11]))


@triton.jit(do_not_specialize=_SIZES)
def split_kernel(
    x_ptr, high_ptr, low_ptr, c_ptr, y_ptr, blocks, vectors, channels, rest, heads, edges, tiles, exponent,
    FACTOR: tl.constexpr, TILE: tl.constexpr, WINDOW: tl.constexpr, STEP: tl.constexpr, PAD: tl.constexpr,
    SHIFT: tl.constexpr, PERIODIC: tl.constexpr, BLOCK: tl.constexpr, VECTOR: tl.constexpr,
    DIGITS: tl.constexpr, AXES: tl.constexpr, COMPANDED: tl.constexpr, SLOPE: tl.constexpr,
):  # fmt: skip
    """Samples ``[(b, c, rest), N, inner]`` to packets ``[b, rest, P, inner, c, F]``.

    With ``DIGITS`` (then c = 1) the tile's channels, seen as that shape ``[positions, ...]``, are permuted by ``AXES``.
    """
    n, inner = blocks * FACTOR, vectors * VECTOR
    row, token, channel, tile, bank, begin = _place(inner, channels, rest, heads, edges, tiles, BLOCK)
    s = begin + tl.arange(0, BLOCK)
    m = tl.arange(0, TILE)
    total = tl.zeros((BLOCK, TILE), dtype=tl.float32)
    top = 30
    sample = row.to(tl.int64) * n
    for start in tl.static_range(0, WINDOW, STEP):
        k = start + tl.arange(0, STEP)
        i = tile * SHIFT - PAD + k
        if PERIODIC:
            i = tl.where(i < 0, i + n, i)
            i = tl.where(i >= n, i - n, i)
        offset = ((sample + i) * inner)[None, :] + s[:, None]
        x = tl.load(x_ptr + offset, mask=(s < inner)[:, None] & ((i >= 0) & (i < n))[None, :], other=0.0)
        piece = ((bank * WINDOW + k) * TILE)[:, None] + m[None, :]
        total, top = _add_product(total, top, x, high_ptr, low_ptr, piece)
    total = total * _power(-exponent) * _power(top - 141)
    POSITIONS: tl.constexpr = TILE // FACTOR
    packets = tl.permute(tl.reshape(total, (BLOCK, POSITIONS, FACTOR)), (1, 0, 2))
    p = tile * POSITIONS + tl.arange(0, POSITIONS)
    base = (token.to(tl.int64) * blocks + p) * inner
    if DIGITS is not None:
        e = tl.arange(0, BLOCK * FACTOR)
        packets = tl.reshape(_permuted(packets, DIGITS, AXES), (POSITIONS, BLOCK * FACTOR))
        offset = ((base + begin) * FACTOR)[:, None] + e[None, :]
        mask = (p < blocks)[:, None] & (begin + e // FACTOR < inner)[None, :]
    else:
        f = tl.arange(0, FACTOR)
        column = (base[:, None] + s[None, :]) * channels + channel
        offset = (column * FACTOR)[:, :, None] + f[None, None, :]
        mask = ((p < blocks)[:, None] & (s < inner)[None, :])[:, :, None]
    _store_packets(y_ptr, c_ptr, offset, packets, mask, COMPANDED, SLOPE)


@triton.jit(do_not_specialize=_SIZES)
def merge_kernel(
    x_ptr, high_ptr, low_ptr, c_ptr, y_ptr, blocks, vectors, channels, rest, heads, edges, tiles, exponent,
    FACTOR: tl.constexpr, TILE: tl.constexpr, WINDOW: tl.constexpr, STEP: tl.constexpr, PAD: tl.constexpr,
    SHIFT: tl.constexpr, PERIODIC: tl.constexpr, BLOCK: tl.constexpr, VECTOR: tl.constexpr,
    DIGITS: tl.constexpr, AXES: tl.constexpr, COMPANDED: tl.constexpr, SLOPE: tl.constexpr,
):  # fmt: skip
    """Packets ``[b, rest, P, inner, c, F]`` to samples ``[(b, c, rest), N, inner]``.

    With ``DIGITS`` (then c = 1) the channels that are read, seen as that shape ``[positions, ...]``, are permuted by
    ``AXES``.
    """
    n, inner = blocks * FACTOR, vectors * VECTOR
    row, token, channel, tile, bank, begin = _place(inner, channels, rest, heads, edges, tiles, BLOCK)
    s = begin + tl.arange(0, BLOCK)
    m = tl.arange(0, TILE)
    total = tl.zeros((BLOCK, TILE), dtype=tl.float32)
    top = 30
    POSITIONS: tl.constexpr = STEP // FACTOR
    for start in tl.static_range(0, WINDOW, STEP):
        p = tile * (SHIFT // FACTOR) + (start - PAD) // FACTOR + tl.arange(0, POSITIONS)
        if PERIODIC:
            p = tl.where(p < 0, p + blocks, p)
            p = tl.where(p >= blocks, p - blocks, p)
        there = (p >= 0) & (p < blocks)
        base = (token.to(tl.int64) * blocks + p) * inner
        if DIGITS is not None:
            e = tl.arange(0, BLOCK * FACTOR)
            offset = ((base + begin) * FACTOR)[:, None] + e[None, :]
            mask = there[:, None] & (begin + e // FACTOR < inner)[None, :]
            packets = _load_packets(x_ptr, c_ptr, offset, mask, COMPANDED, SLOPE)
            packets = tl.reshape(_permuted(packets, DIGITS, AXES), (POSITIONS, BLOCK, FACTOR))
        else:
            f = tl.arange(0, FACTOR)
            column = (base[:, None] + s[None, :]) * channels + channel
            offset = (column * FACTOR)[:, :, None] + f[None, None, :]
            mask = (there[:, None] & (s < inner)[None, :])[:, :, None]
            packets = _load_packets(x_ptr, c_ptr, offset, mask, COMPANDED, SLOPE)
        x = tl.reshape(tl.permute(packets, (1, 0, 2)), (BLOCK, STEP))
        k = start + tl.arange(0, STEP)
        piece = ((bank * WINDOW + k) * TILE)[:, None] + m[None, :]
        total, top = _add_product(total, top, x, high_ptr, low_ptr, piece)
    i = tile * TILE + m
    offset = ((row.to(tl.int64) * n + i) * inner)[None, :] + s[:, None]
    mask = (s < inner)[:, None] & (i < n)[None, :]
    tl.store(y_ptr + offset, total * _power(-exponent) * _power(top - 141), mask=mask)

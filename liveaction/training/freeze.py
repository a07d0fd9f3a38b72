"""Freeze: entropy tables from the latents of training data, at all quantiser steps that one model serves."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from liveaction.codec.chunk_coder import rounded
from liveaction.codec.codec import Codec
from liveaction.codec.own_basis import fit_from
from liveaction.codec.quality import QUALITIES
from liveaction.coding.fit import fit_tables
from liveaction.coding.optimise import optimise_chunk
from liveaction.training.data import Crops
from liveaction.training.seeds import CropWord

SYMBOLS = 2**22
"""Symbols to look at per quantiser step, about."""
DEAD_ZONE = 0.2
"""Of the symbols that the first tables are fitted to, which then choose better ones: about what those come to."""


def freeze(codec: Codec, crops: Crops, seed: int) -> None:
    """Fit the entropy tables of a codec to chunks drawn from signals, in place; equal seeds give equal tables.

    Where ``compress`` weighs what symbols cost, tables are fitted to plain symbols first, then to what these leave.

    Args:
        codec: trained.
        crops: what to draw from, signals in proportion to their sizes.
        seed: of the draw.
    """
    for tree in codec.trees:
        coder, axes = tree.chunks, tree.axes
        chunks = list(_examples(tree, crops, seed))
        zone = DEAD_ZONE if tree.optimises and tree.sparse else tree.spec.quantizer.dead_zone
        plain = [[rounded(part, zone) for part in chunk] for chunk in chunks]
        tree.tables = fit_parts(plain, coder.rows, coder.most, axes, coder.predicted)
        if tree.optimises:
            cheap = [optimise_chunk(chunk, coder.tables_of(len(chunk[0]) // coder.rows[0]))[0] for chunk in chunks]
            tree.tables = fit_parts(cheap, coder.rows, coder.most, axes, coder.predicted)


def _examples(codec: Codec, crops: Crops, seed: int) -> Iterator[list[NDArray[np.float32]]]:
    """The parts of chunks in steps, at every quality; at least eight chunks, at most 64."""
    seen = 0
    for number in range(64):
        if number >= 8 and seen >= SYMBOLS:
            return
        x = crops.chunk((CropWord.TABLES, seed, number), codec.layout)
        seen += x.numel()
        y = None
        for factor in QUALITIES.values():
            step = codec.quantizer.step * factor
            if y is None or codec.own:
                y = _latents(codec, x, step)
            if len(y):
                yield [part * np.float32(1 / step) for part in codec.chunks.parts(y)]


def _latents(codec: Codec, x: torch.Tensor, step: float) -> NDArray[np.float32]:
    """Companded latents ``[K L, *c]`` of a chunk's samples ``[C, *]``."""
    with torch.no_grad():
        x = front_crop(codec, x[None].to(codec.device), step)
        return codec.quantizer.compand(codec.encode(x)).flatten(0, 1).cpu().numpy()


def front_crop(codec: Codec, x: torch.Tensor, step: float) -> torch.Tensor:
    """Crops ``[B, C, *]`` as the codec takes them: as they are, or the components of bases of their own, ``[K, 1, *]``.

    A crop's basis is that of the crop, which has somewhat fewer components than one of the whole signal.
    """
    if not codec.own:
        return x
    items = [fit_from([(item.cpu().numpy(), None)], step).analyse(item) for item in x]
    return torch.cat(items)[:, None]


def fit_parts(examples, rows, most, axes, predicted):
    """Temporary."""
    made = []
    for i, n in enumerate(rows):
        parts = []
        for chunk in examples:
            p = chunk[i]
            want = n * most
            p = p[:want]
            if len(p) < want:
                p = np.concatenate([p, np.zeros((want - len(p), *p.shape[1:]), np.int32)])
            parts.append(np.ascontiguousarray(p))
        t = fit_tables(parts, n * most, axes)
        outer = len(made[-1].predict) if made else 0
        from dataclasses import replace

        made.append(replace(t, outer=outer, sources=np.where(t.sources >= 0, t.sources + outer, -1).astype(np.int16)))
    return tuple(made)

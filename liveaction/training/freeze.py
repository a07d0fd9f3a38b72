"""Freeze: entropy tables from the latents of training data, at all quantiser steps that one model serves."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from liveaction.codec.codec import Codec
from liveaction.codec.quality import QUALITIES
from liveaction.coding.fast import rounded
from liveaction.coding.fit import fit_latents, fit_parts
from liveaction.coding.mixing import Mixing, careful, fresh, kinds_of
from liveaction.coding.optimise import dead_zone
from liveaction.coding.small import SmallEncoder
from liveaction.training.data import Crops
from liveaction.training.front import crop_front
from liveaction.training.seeds import CropWord

SYMBOLS = 2**22
"""Symbols to look at per quantiser step, about."""
PRIMED = 160
"""Chunks that the coder ``small`` learns from, of all steps; twice as many give the same to 0.1 %."""
EACH = 2**20
"""Samples of a chunk of a sparse codec that are looked at, all channels together: of sound a chunk holds minutes."""


def freeze(codec: Codec, crops: Crops, seed: int, stage: Callable[[str], None] = lambda text: None) -> None:
    """Fit the entropy tables of a codec to chunks drawn from signals, in place; equal seeds give equal tables.

    The coder ``small`` codes such chunks then, and starts from what it knows after it.

    Where ``compress`` weighs what symbols cost, tables are fitted to plain symbols first, then to what these leave.

    Args:
        codec: trained.
        crops: what to draw from, signals in proportion to their sizes.
        seed: of the draw.
        stage: is told which tree's tables are fitted.
    """
    for number, tree in enumerate(codec.trees, 1):
        stage("fitting entropy tables" + (f", tree {number} of {len(codec.trees)}" if codec.others else ""))
        coder, chunks = tree.chunks, list(_examples(tree, crops, seed))
        rows = [coder.most * n for n in coder.rows]
        if tree.optimises:
            tree.tables = fit_latents(chunks, rows, tree.axes, coder.predicted, coder.most)
        else:
            plain = ([rounded(part, tree.spec.quantizer.dead_zone) for part in chunk] for chunk in chunks)
            tree.tables = fit_parts(plain, rows, tree.axes, coder.predicted, coder.most)
        coder.mixing = _primed(tree, chunks, seed)


def _primed(tree: Codec, chunks: Sequence[list[NDArray[np.float32]]], seed: int) -> Mixing:
    """What the coder ``small`` knows after it coded the parts of chunks in steps, in an order that mixes steps."""
    coder, state = tree.chunks, fresh()
    dead_zone = None if tree.optimises else tree.spec.quantizer.dead_zone
    for i in np.random.default_rng(seed).permutation(len(chunks))[:PRIMED]:
        components = len(chunks[i][0]) // coder.rows[0]
        tables, kinds = coder.tables_of(components), kinds_of(coder.rows, components)
        encoder = SmallEncoder([part.shape for part in chunks[i]], tables, kinds, state, dead_zone)
        for part in chunks[i]:
            encoder.add(part)
        state = encoder.state
    return careful(state)


def _examples(codec: Codec, crops: Crops, seed: int) -> Iterator[list[NDArray[np.float32]]]:
    """The parts of chunks in steps, at every quality; at least eight chunks, at most 64."""
    seen = 0
    for number in range(64):
        if number >= 8 and seen >= SYMBOLS:
            return
        x = crops.chunk((CropWord.TABLES, seed, number), codec.layout)
        x = _cut(x, codec.packets.factors) if codec.sparse else x
        seen += x.numel()
        y = None
        for factor in QUALITIES.values():
            step = codec.quantizer.step * factor
            if y is None or codec.own:
                y = _latents(codec, x, step)
            if len(y):
                parts = zip(codec.chunks.residuals(y, step, _Drawn()), codec.chunks.rows, strict=True)
                yield [part[: codec.chunks.most * rows] for part, rows in parts]


class _Drawn:
    """What gives the predict step something decoded where there are no tables yet: symbols of a dead zone."""

    def add(self, scaled: NDArray[np.float32]) -> NDArray[np.int32]:
        """The symbols of a part."""
        return dead_zone([scaled])[0]

    def finish(self) -> bytes:
        """Nothing is written."""
        return b""


def _cut(x: torch.Tensor, factors: tuple[int, ...]) -> torch.Tensor:
    """The first part of a chunk's samples ``[C, *]``, halved along the axis of most tokens until few are left."""
    while x.numel() > EACH:
        tokens = [-(-n // factor) for n, factor in zip(x.shape[1:], factors, strict=True)]
        axis = tokens.index(max(tokens))
        if tokens[axis] == 1:
            return x
        x = x.narrow(axis + 1, 0, -(-tokens[axis] // 2) * factors[axis])
    return x


def _latents(codec: Codec, x: torch.Tensor, step: float) -> NDArray[np.float32]:
    """Companded latents ``[K L, *c]`` of a chunk's samples ``[C, *]``."""
    with torch.no_grad():
        front, _ = crop_front(codec, x[None].to(codec.device), step)
        return codec.quantizer.compand(codec.encode(front)).flatten(0, 1).cpu().numpy()

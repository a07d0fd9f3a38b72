"""Compile ahead of the first signal all that Numba would compile then."""

from collections.abc import Callable
from itertools import product

import torch

from liveaction.codec.codec import build_codec
from liveaction.codec.lean import CODERS
from liveaction.codec.model import Model
from liveaction.coding.mixing import fresh
from liveaction.recipe import load_recipe, recipe_names
from liveaction.spec import Recipe

DTYPES = torch.float32, torch.bfloat16
"""All that ``--dtype`` may be."""

_DIGEST = "0" * 64


def kinds() -> list[Recipe]:
    """The narrowest shipped recipe of every kind whose codec Numba compiles something else for.

    Sizes do not matter to Numba: axes and the choice of banks, bases, blocks and quantisers do.
    """
    found: dict[object, Recipe] = {}
    for recipe in sorted(map(load_recipe, recipe_names()), key=lambda recipe: recipe.hidden):
        codec = recipe.codec
        kind = (
            recipe.axes, codec.boundary, codec.packet_order, codec.compand, codec.quantizer.kind, codec.encoder.kind,
            codec.encoder.kernel_size, codec.decoder.kind, codec.decoder.kernel_size, codec.encoder.basis,
            tuple(block > 0 for block in codec.blocks_per_axis(recipe.axes)), bool(codec.steps(recipe.axes)),
        )  # fmt: skip
        found.setdefault(kind, recipe)
    return list(found.values())


def warm(recipes: list[Recipe], done: Callable[[int, int, str], None]) -> float:
    """Compress and decompress a small synthetic signal with an untrained codec of each recipe, in every dtype, and by
    every coder of symbols.

    Args:
        recipes: as :func:`kinds` gives them.
        done: is told how many recipes are done, of how many, and the name of the next one.

    Returns:
        Seconds spent compiling; 0 where all of it was in Numba's cache.
    """
    from liveaction.kernels.compile_numba import COMPILING

    before = COMPILING.wall
    for number, recipe in enumerate(recipes):
        done(number, len(recipes), recipe.name)
        shallow = {part: {"depth": min(getattr(recipe.codec, part).depth, 1)} for part in ("encoder", "decoder")}
        parts = {part: getattr(recipe.codec, part).model_copy(update=change) for part, change in shallow.items()}
        small = recipe.model_copy(update={"codec": recipe.codec.model_copy(update=parts)})
        codec = build_codec(small).eval().requires_grad_(False)
        model = Model(codec, small, _DIGEST)
        signal = model.modality.synthetic(0, recipe.crops[0])
        for tree in codec.trees:
            tree.chunks.mixing = fresh()
        for codec.compute_dtype, coder in product(DTYPES, CODERS):
            model.decompress(model.compress(signal, coder=coder))
    return COMPILING.wall - before

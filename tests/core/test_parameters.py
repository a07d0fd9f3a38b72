"""The arithmetic of learned numbers against codecs that are built, on the meta device, where that takes no memory."""

import pytest
import torch

from liveaction.codec.codec import build_codec
from liveaction.codec.parameters import Parameters, count_parameters
from liveaction.recipe import load_recipe, recipe_names

RANDOM = "training.start=random"
SERIES = ("modality.axes=[t, x, y, z]", "codec.levels=[1, 1, 1, 1]", "training.crop=[16]", "codec.latent_channels=2")


def built(recipe):
    with torch.device("meta"):
        codec = build_codec(recipe)
    assert len(codec.trees) == 1 + len(recipe.codec.trees)
    sensor = [part for tree in codec.trees for part in (tree.encoder, tree.quantizer, tree.predictor) if part]
    server = [tree.decoder for tree in codec.trees] + ([] if codec.behind is None else [codec.behind])
    counts = [sum(p.numel() for part in parts for p in part.parameters()) for parts in (sensor, server)]
    assert sum(counts) == sum(p.numel() for p in codec.parameters())
    return Parameters(*counts)


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes(name):
    recipe = load_recipe(name)
    assert count_parameters(recipe) == built(recipe)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(("codec.encoder.layer_scale=null",), id="no-layer-scale"),
        pytest.param((RANDOM, "codec.encoder.projection=monarch", "codec.latent_channels=6"), id="monarch"),
        pytest.param((RANDOM, "codec.encoder.kind=paper", "codec.encoder.kernel_size=3"), id="paper-encoder"),
        pytest.param(("codec.encoder.kind=linear", "codec.decoder.kind=linear"), id="linear"),
        pytest.param((RANDOM, "codec.decoder.linear_path=false"), id="no-linear-path"),
        pytest.param(("codec.decoder.kind=paper", "codec.decoder.kernel_size=3"), id="paper-decoder"),
        pytest.param(("codec.decoder.kind=vit", "codec.decoder.expansion=3"), id="vit"),
        pytest.param(("codec.decoder.kind=vit", "codec.decoder.head_dim=null", *SERIES), id="vit-four-axes"),
        pytest.param(("codec.decoder.kind=light", *SERIES), id="light-four-axes"),
        pytest.param((RANDOM, "codec.quantizer.kind=laplace"), id="laplace"),
        pytest.param((RANDOM, "codec.quantizer.kind=gaussian"), id="gaussian"),
    ],
)
def test_every_part(settings):
    recipe = load_recipe("ct_smoke", settings)
    assert count_parameters(recipe) == built(recipe)

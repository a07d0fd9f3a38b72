"""Augmentations: what they do, that they are exact, that they follow from the generator, and what they refuse."""

import numpy as np
import pytest
import torch

import liveaction
from liveaction.errors import SpecError
from liveaction.learning.augment import Mixup, parse_augmentations

ALL = ["flip:y", "gain:0.8:1.2", "offset:-0.1:0.1", "polarity", "noise"]
EXACT = {"linear": True, "zero": (1, 2, 3), "one": (4, 5, 0), "flips": {"y": (1, -1, 1)}}


def apply(texts, spec, values, label, seed=0):
    rng = np.random.default_rng(seed)
    for each in parse_augmentations(texts, spec):
        values, label = each.apply(values, label, rng)
    return values, label


def drawn(text, spec, values, label):
    """The first result that is not the item itself."""
    return next((v, y) for v, y in (apply([text], spec, values, label, seed) for seed in range(20)) if v is not values)


def test_equal_generators_give_equal_items(spec_of):
    spec = spec_of(exact=EXACT, step=0.5)
    values = np.random.default_rng(1).normal(size=(3, 5, 7)).astype(np.float32)
    before = values.copy()
    one, two, other = (apply(ALL, spec, values, 2, seed)[0] for seed in (5, 5, 6))
    assert one.dtype == np.float32
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)
    assert np.array_equal(values, before)


@pytest.mark.parametrize(("axis", "number"), [("z", 0), ("y", 1)])
def test_flips_mirror_values_and_maps(spec_of, axis, number):
    spec = spec_of(exact={"flips": {axis: (1, -1, 1)}}, task="map", label_factors=(2, 2))
    values = np.random.default_rng(1).normal(size=(3, 5, 7)).astype(np.float32)
    labels = np.arange(140).reshape(10, 14)
    flipped, map_ = drawn(f"flip:{axis}", spec, values, labels)
    assert np.array_equal(flipped, np.flip(values, number + 1) * np.array([1, -1, 1]).reshape(3, 1, 1))
    assert np.array_equal(map_, np.flip(labels, number))


def test_half_of_the_items_are_flipped(spec_of):
    spec, values = spec_of(exact=EXACT), np.zeros((3, 5, 7), np.float32)
    same = sum(apply(["flip:y"], spec, values, 0, seed)[0] is values for seed in range(200))
    assert 70 < same < 130


def test_changes_of_linear_latents_are_those_of_the_signal(spec_of):
    recipe = liveaction.load_recipe(
        "rgb_smoke", ["codec.encoder={kind: linear}", "codec.levels=2", "codec.latent_channels=3"]
    )
    codec = liveaction.build_codec(recipe).eval()
    x = torch.randn(1, 3, 20, 28).clamp(-1, 1)

    def encode(signal):
        return codec.encode(signal)[0].numpy()

    with torch.no_grad():
        zero = encode(torch.zeros_like(x))
        one = (encode(torch.ones_like(x)) - zero)[:, 2, 3]
        spec = spec_of(exact={"linear": True, "zero": zero[:, 2, 3].tolist(), "one": one.tolist()})
        gain, offset = parse_augmentations(["gain:0.7:0.7", "offset:0.1:0.1"], spec)
        rng = np.random.default_rng(0)
        for changed, signal in (
            (gain.apply(encode(x), 0, rng)[0], 0.7 * x),
            (offset.apply(encode(x), 0, rng)[0], x + 0.1),
            (drawn("polarity", spec, encode(x), 0)[0], -x),
        ):
            np.testing.assert_allclose(changed, encode(signal), atol=2e-5)
        mixed = Mixup.parse("mixup:0.5", spec)(torch.cat([codec.encode(x), codec.encode(-x / 2)]), torch.arange(2), rng)
        pair = torch.cat([x, -x / 2])
        order = pair[mixed.others]
        np.testing.assert_allclose(
            mixed.values, codec.encode(mixed.share * pair + (1 - mixed.share) * order), atol=2e-5
        )


def test_noise_is_of_one_step(spec_of):
    values = np.zeros((3, 50, 70), np.float32)
    noisy, _ = apply(["noise"], spec_of(step=0.5), values, 0)
    assert -0.25 <= noisy.min() < -0.24
    assert 0.24 < noisy.max() <= 0.25
    assert abs(noisy.std() - 0.5 / np.sqrt(12)) < 0.005


def test_mixtures_weigh_both_labels(spec_of):
    mixed = Mixup.parse("mixup:0.5", spec_of(exact=EXACT))(
        torch.zeros(4, 3, 5, 7), torch.arange(4), np.random.default_rng(0)
    )
    loss = mixed.loss(lambda labels: labels[0].float())
    assert float(loss) == pytest.approx((1 - mixed.share) * float(mixed.others[0]))


@pytest.mark.parametrize(
    ("text", "rest", "words"),
    [
        ("flip:x", {}, r"expected flip:AXIS with one of \('z', 'y'\), got 'flip:x'"),
        ("flip:z", {"exact": EXACT}, r"exact along \('y',\); keep mirrored views in the store, or .*Encode"),
        ("flip:y", {"exact": EXACT, "task": "number"}, "may be directions; say flip:y:invariant"),
        ("gain:0.8:1.2", {}, "expected a linear encoder for 'gain:0.8:1.2', got another one; .*Encode"),
        ("polarity", {}, "expected a linear encoder for 'polarity'"),
        ("offset:0:1", {"exact": EXACT | {"one": ()}}, "what a signal of ones adds"),
        ("gain:2:1", {"exact": EXACT}, "with LOW up to HIGH"),
        ("gain:1", {"exact": EXACT}, "expected 2 finite numbers after the name, got 'gain:1'"),
        ("noise", {}, "got a step of 0; leave it out"),
        ("mixup:0.2", {"exact": EXACT}, "mix batches in the loop with Mixup.parse"),
        ("rotate", {}, "expected one of flip:AXIS, .*Encode"),
    ],
)
def test_what_is_not_exact_is_refused(spec_of, text, rest, words):
    with pytest.raises(SpecError, match=words) as caught:
        parse_augmentations([text], spec_of(**rest))
    assert "\n" not in str(caught.value)


def test_labels_that_are_invariant_may_be_flipped(spec_of):
    assert parse_augmentations(["flip:y:invariant"], spec_of(exact=EXACT, task="number"))


@pytest.mark.parametrize("text", ["mixup", "mixup:0", "mixup:0.2", "blend:1"])
def test_mixtures_are_refused_where_they_are_not_exact(spec_of, text):
    with pytest.raises(SpecError, match="augment: expected"):
        Mixup.parse(text, spec_of())

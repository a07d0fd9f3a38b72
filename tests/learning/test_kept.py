"""Kept heads: the same answers after loading, whole folders, digests, and what is refused."""

import json

import numpy as np
import pytest
import torch

from liveaction.errors import FormatError, IntegrityError, ShapeError, SpecError
from liveaction.learning.adapt import adapt_timm
from liveaction.learning.kept import Takes, build_net, load_head, save_head
from liveaction.spec import ModalitySpec

GREY = ModalitySpec(name="grey", axes=("y", "x"), range="native")
SOUND = ModalitySpec(name="array", axes=("z",), range=(-2, 2))
NETWORK = {"widths": (4, 6), "patch": (2, 2)}


def trained(spec, network=None):
    net = build_net(NETWORK if network is None else network, spec)
    net.train()(torch.randn(8, spec.channels, *spec.grid))  # moves what norms remember
    return net.eval()


@pytest.fixture
def takes():
    return Takes(kind="samples", modality=GREY)


def test_a_head_answers_as_before(spec_of, takes, tmp_path):
    spec = spec_of(names=("a", "b", "c", "d"))
    net = trained(spec)
    digest = save_head(tmp_path / "head", net, spec, NETWORK, takes)
    head = load_head(tmp_path / "head")
    x = np.random.default_rng(0).normal(size=(9, 3, 5, 7))
    assert (head.modality, head.names, len(digest)) == ("grey", ("a", "b", "c", "d"), 64)
    assert np.array_equal(head.predict(x), net(torch.from_numpy(x).float()).argmax(1).numpy())
    assert not any(each.requires_grad for each in head.net.parameters())
    assert sorted(path.name for path in (tmp_path / "head").iterdir()) == ["head.json", "head.safetensors"]


def test_samples_are_mapped_and_resampled_where_the_head_learnt_so(spec_of, tmp_path):
    spec = spec_of((16,), channels=1, names=("a", "b", "c", "d"))
    net = trained(spec, {"widths": [4], "patch": 4})
    takes = Takes(kind="samples", modality=SOUND, normalised=True, reduction=2)
    save_head(tmp_path / "head", net, spec, {"widths": [4], "patch": 4}, takes)
    seen = []
    head = load_head(tmp_path / "head")
    head.net.register_forward_pre_hook(lambda net, given: seen.append(given[0]))
    head.predict(np.ones((2, 1, 32)))
    assert [each.shape for each in seen] == [(1, 1, 16)] * 2
    assert float(seen[0][0, 0, 8]) == pytest.approx(0.5, rel=1e-2)


def test_heads_of_latents_take_latents_alone(spec_of, takes, tmp_path):
    spec = spec_of(task="map")
    save_head(tmp_path / "of samples", trained(spec), spec, NETWORK, takes)
    latents = Takes(kind="latents", modality=GREY, model="a" * 64, step=0.4)
    save_head(tmp_path / "of latents", trained(spec), spec, NETWORK, latents)
    head = load_head(tmp_path / "of latents")
    assert head.predict_latents(np.zeros((2, 3, 5, 7), np.float32)).shape == (2, 5, 7)
    assert head.names == ("0", "1", "2", "3")
    with pytest.raises(SpecError, match="got one of latents of model aaaaaaaaaaaa; encode the signals"):
        head.predict(np.zeros((2, 3, 5, 7)))
    with pytest.raises(SpecError, match="got one of samples; call predict"):
        load_head(tmp_path / "of samples").predict_latents(torch.zeros(2, 3, 5, 7))
    with pytest.raises(ShapeError, match=r"head: expected \[N, 3, \*\] with 2 axes, got \(2, 1, 5, 7\)"):
        head.predict_latents(torch.zeros(2, 1, 5, 7))


def test_networks_of_others_are_kept_too(spec_of, takes, tmp_path):
    spec = spec_of((8, 8))
    network = {"kind": "timm", "name": "test_resnet"}
    net = adapt_timm("test_resnet", spec).eval()
    save_head(tmp_path / "head", net, spec, network, takes)
    x = torch.randn(3, 3, 8, 8)
    assert np.array_equal(load_head(tmp_path / "head").predict(x.numpy()), net(x).argmax(1).numpy())


def test_a_head_takes_the_place_of_another(spec_of, takes, tmp_path):
    spec = spec_of()
    digests = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        digests.append(save_head(tmp_path / "head", trained(spec), spec, NETWORK, takes))
    assert json.loads((tmp_path / "head" / "head.json").read_text())["digest"] == digests[1] != digests[0]
    assert [path.name for path in tmp_path.iterdir()] == ["head"]


def test_changed_weights_are_refused(spec_of, takes, tmp_path):
    save_head(tmp_path / "head", trained(spec_of()), spec_of(), NETWORK, takes)
    path = tmp_path / "head" / "head.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="the file was changed after it was saved, take the original"):
        load_head(tmp_path / "head")
    path.write_bytes(data[:100])
    with pytest.raises(FormatError, match="expected the weights of the head"):
        load_head(tmp_path / "head")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, "head.json: format: input should be 1"),
        ({"more": 1}, "head.json: more: extra inputs"),
        ({"network": {"kind": "pickle"}}, "network.kind: expected one of tokens, timm, monai, got 'pickle'"),
        ({"network": {"kind": "tokens", "depth": 3}}, r"network: expected arguments of tokens, got \['depth'\]"),
        ({"network": {"kind": "tokens", "widths": [5]}}, "expected the weights of the head"),
    ],
)
def test_tables_that_say_something_else_are_refused(spec_of, takes, tmp_path, change, words):
    save_head(tmp_path / "head", trained(spec_of()), spec_of(), NETWORK, takes)
    path = tmp_path / "head" / "head.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises((FormatError, SpecError), match=words):
        load_head(tmp_path / "head")


def test_what_is_no_head_is_refused(tmp_path):
    with pytest.raises(FormatError, match=r"expected a folder of a head .* got No such file"):
        load_head(tmp_path)


def test_arguments_of_another_network_are_refused(spec_of, takes, tmp_path):
    with pytest.raises(SpecError, match="expected the arguments that the network was built with"):
        save_head(tmp_path / "head", trained(spec_of()), spec_of(), {"widths": [4]}, takes)
    assert not list(tmp_path.iterdir())


def test_latents_without_a_model_are_refused():
    with pytest.raises(ValueError, match="expected the digest of a model for latents alone"):
        Takes(kind="latents", modality=GREY)

"""LiVeAction checkpoints against the published package: same weights, same input, same numbers."""

import json
from types import SimpleNamespace

import pytest
import torch
from typer.testing import CliRunner

from liveaction.cli.main import app
from liveaction.codec.codec import Codec
from liveaction.codec.model import load
from liveaction.errors import FormatError, SpecError
from liveaction.published.checkpoint import Checkpoint
from liveaction.published.importer import import_livecodec
from liveaction.published.livecodec import translate
from liveaction.published.parity import Parity, compare

published = pytest.importorskip("livecodec.codec", reason="livecodec is not installed: pip install -e '.[parity]'")

# (D, C, J, L), then extents below and above the fault of short axes, each a multiple of 2**J
CASES = {
    "7-microphones": ((1, 7, 7, 28), (512,), (1280,)),
    "stereo": ((1, 2, 9, 16), (1536,), (5120,)),
    "rgb-f8": ((2, 3, 3, 12), (16, 32), (48, 72)),
    "rgb-f16": ((2, 3, 4, 12), (96, 32), (80, 112)),
    "ct": ((3, 1, 3, 8), (16, 40, 24), (40, 48, 56)),
    "video": ((3, 3, 3, 12), (8, 48, 40), (48, 40, 40)),
}


def _config(case, kernel=1, depth=1, light=False):
    dim, channels, levels, latent = case
    return {
        "dim": dim, "input_channels": channels, "J": levels, "latent_dim": latent, "encoder_depth": 2,
        "encoder_kernel_size": kernel, "decoder_depth": depth, "decoder_kernel_size": kernel,
        "lightweight_encode": True, "lightweight_decode": light,
    }  # fmt: skip


def _published(config):
    """The published class with weights that no part can ignore: norms, biases and scales away from their start."""
    model = published.AutoCodecND(**config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter) * parameter.abs().clamp(min=0.5))
        model.conv_down.conv2.weight.mul_(8)  # symbols of some size
    return model


def _checkpoint(config):
    return Checkpoint(config, {name: tensor.clone() for name, tensor in _published(config).state_dict().items()})


def _codec(translation):
    with torch.device("meta"):
        codec = Codec(translation.spec, translation.channels, translation.axes)
    codec.load_state_dict(translation.state, assign=True)
    return codec.eval().requires_grad_(False)


def _compare(config, extents, batch):
    checkpoint = _checkpoint(config)
    translation = translate(checkpoint, "x.pth")
    x = torch.randn(batch, config["input_channels"], *extents).clamp(-3, 3) / 3
    codec = _codec(translation)
    assert codec.quantize(codec.encode(x)).abs().max() > 8
    return compare("livecodec", checkpoint, translation, codec, x)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("side", ["below", "above"])
@pytest.mark.parametrize("name", CASES)
def test_latents_symbols_and_reconstruction_agree(name, side, batch):
    case, below, above = CASES[name]
    parity = _compare(_config(case), below if side == "below" else above, batch)
    assert parity.latents < 1e-5 and parity.symbols == 0 and parity.reconstruction < 1e-5


@pytest.mark.parametrize("light", [False, True], ids=["vit", "light"])
@pytest.mark.parametrize("name", ["7-microphones", "rgb-f8", "ct"])
def test_kernel_size_three_agrees(name, light):
    case, below, _ = CASES[name]
    parity = _compare(_config(case, kernel=3, light=light), below, 2)
    assert parity.latents < 1e-5 and parity.symbols == 0 and parity.reconstruction < 1e-5


def test_parity_is_not_blind():
    config = _config((1, 2, 3, 4), light=True)
    checkpoint = _checkpoint(config)
    translation = translate(checkpoint, "x.pth")
    codec = _codec(translation)
    codec.encoder.down.w2.data = codec.encoder.down.w2 * 1.02
    codec.decoder.network[1].norm2.bias.data = codec.decoder.network[1].norm2.bias + 0.1
    parity = compare("livecodec", checkpoint, translation, codec, torch.randn(1, 2, 640))
    assert parity.latents > 1e-3 and parity.symbols > 0 and parity.reconstruction > 1e-3
    assert str(parity) == str(Parity(parity.latents, parity.symbols, parity.reconstruction))


def test_a_smaller_part_of_a_full_configuration():
    parity = _compare(_config((2, 3, 4, 48), depth=3), (96, 80), 1)
    assert parity.latents < 1e-5 and parity.symbols == 0 and parity.reconstruction < 1e-5


@pytest.mark.parametrize("known", [{"J": 3}, {"input_channels": 1}], ids=["levels", "channels"])
def test_the_tensors_tell_what_the_configuration_does_not(known):
    checkpoint = _checkpoint(_config((3, 1, 3, 8), light=True))
    translation = translate(Checkpoint(known, checkpoint.tensors), "x.pth")
    assert translation.spec == translate(checkpoint, "x.pth").spec
    assert (translation.channels, translation.axes) == (1, 3)


def test_channels_may_come_from_the_modality():
    checkpoint = _checkpoint(_config((3, 1, 2, 8), light=True))
    with pytest.raises(FormatError, match="--modality tells the channels too"):
        translate(Checkpoint({}, checkpoint.tensors), "x.pth")
    assert translate(Checkpoint({}, checkpoint.tensors), "x.pth", channels=1).spec.levels == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dim": 2}, "expected dim 3"),
        ({"latent_dim": 9}, "expected latent_dim 8"),
        ({"encoder_depth": 5}, "expected encoder_depth 2"),
        ({"encoder_kernel_size": 3}, "expected encoder_kernel_size 1"),
        ({"lightweight_encode": False}, "expected lightweight_encode True"),
        ({"lightweight_decode": False}, "expected lightweight_decode True"),
    ],
)
def test_a_configuration_against_the_tensors_is_refused(change, words):
    checkpoint = _checkpoint(_config((3, 1, 2, 8), light=True))
    with pytest.raises(FormatError, match=words):
        translate(Checkpoint(checkpoint.config | change, checkpoint.tensors), "x.pth")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("conv_up.conv1.weight"), "conv_up.conv1.weight"),
        (lambda t: t.update(extra=torch.zeros(2)), "1 more such as extra"),
        (lambda t: t.update({"encoder_blocks.0.gn1.groupnorm.weight": torch.zeros(3)}), "shape"),
        (lambda t: t.update({"wt.h0_d": t["wt.h0_d"] + 0.1}), "filters of bior4.4"),
        (lambda t: t.update({"encoder_blocks.blocks.0.x": torch.zeros(1)}), "lightweight_encode false"),
        (lambda t: t.pop("conv_down.conv1.weight"), "conv_down.conv1.weight"),
    ],
    ids=["missing", "extra", "shape", "wavelet", "attention-encoder", "projection"],
)
def test_other_tensors_are_refused(change, words):
    checkpoint = _checkpoint(_config((3, 1, 2, 8), light=True))
    tensors = dict(checkpoint.tensors)
    change(tensors)
    with pytest.raises(FormatError, match=words) as caught:
        translate(Checkpoint(checkpoint.config, tensors), "x.pth")
    assert str(caught.value).startswith("x.pth: expected") and "\n" not in str(caught.value)


@pytest.fixture
def checkpoint_file(tmp_path):
    config = _config((3, 1, 2, 8), depth=1)
    path = tmp_path / "ct f4.pth"
    torch.save({"config": SimpleNamespace(**config), "state_dict": _published(config).state_dict()}, path)
    return path


@pytest.mark.slow
def test_an_imported_model_codes_files(checkpoint_file, tmp_path):
    out, run = tmp_path / "model", CliRunner()
    done = run.invoke(app, ["import-livecodec", str(checkpoint_file), str(out), "--modality", "ct", "--quiet"])
    assert done.exit_code == 0, done.output
    assert "beside livecodec" in done.output and "0 symbols differ" in done.output
    model = load(out)
    assert model.recipe.name == "ct_f4" and model.modality.spec.name == "ct" and model.digest[:12] in done.output
    assert {path.name for path in out.iterdir()} == {
        "config.json", "encoder.safetensors", "entropy.safetensors", "model.safetensors",
    }  # fmt: skip

    from liveaction.modalities.volume.ct import CT

    modality = CT(model.recipe.modality)
    modality.write(modality.synthetic(0), tmp_path / "a.nii.gz")
    files = [str(tmp_path / name) for name in ("a.nii.gz", "a.lva", "b.nii.gz")]
    done = run.invoke(app, ["compress", *files[:2], "--model", str(out), "--quiet"])
    assert done.exit_code == 0, done.output
    done = run.invoke(app, ["decompress", *files[1:], "--model", str(out), "--against", files[0], "--json", "-q"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["ssim"] < 1
    again = run.invoke(app, ["import-livecodec", str(checkpoint_file), str(out), "--modality", "ct"])
    assert again.exit_code == 1 and "--force" in str(again.exception)


@pytest.mark.slow
def test_the_modality_is_asked_for_where_several_fit(checkpoint_file, tmp_path):
    with pytest.raises(SpecError, match="ct, hyperspectral"):
        import_livecodec(checkpoint_file, tmp_path / "model")
    with pytest.raises(SpecError, match="3 axes and 1 channel"):
        import_livecodec(checkpoint_file, tmp_path / "model", "video")
    with pytest.raises(SpecError, match=r"expected one of .*ct.* got 'xray'"):
        import_livecodec(checkpoint_file, tmp_path / "model", "xray")
    assert not (tmp_path / "model").exists()

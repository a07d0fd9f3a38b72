"""WaLLoC checkpoints against the published package; what cannot be represented is said."""

import json

import pytest
import torch
from typer.testing import CliRunner

from liveaction.cli.main import app
from liveaction.codec.codec import Codec
from liveaction.codec.model import load
from liveaction.errors import FormatError
from liveaction.published.checkpoint import Checkpoint
from liveaction.published.parity import compare
from liveaction.published.walloc import WallocConfig, read_config, translate
from liveaction.transforms.packet import WaveletPacket

published = pytest.importorskip("walloc.walloc", reason="walloc is not installed: pip install -e '.[parity]'")

# class, (D, C, J, L, bits), extents below and above the fault of short axes
CASES = {
    "image-linear": ("LinearCodec2D", (2, 3, 3, 12, 8), (16, 32), (48, 64)),
    "image-linear-6-bits": ("LinearCodec2D", (2, 3, 4, 12, 6), (32, 96), (80, 96)),
    "image": ("Codec2D", (2, 3, 3, 12, 8), (16, 32), (48, 64)),
    "audio": ("Codec1D", (1, 2, 9, 36, 5), (1536,), (5120,)),
}


def _checkpoint(kind, sizes):
    axes, channels, levels, latent, bits = sizes
    settings = {"channels": channels, "J": levels, "latent_dim": latent, "latent_bits": bits}
    if kind != "LinearCodec2D":
        settings |= {"Ne": 32, "Nd": latent * 2 if axes == 1 else 32, "lightweight_encode": True}
    if kind == "Codec1D":
        settings["post_filter"] = True
    model = getattr(published, kind)(**settings)
    with torch.no_grad():
        model.encoder[0].weight.mul_(20)  # symbols of some size
        model.encoder[0].bias.copy_(torch.randn(latent))
    return Checkpoint({}, {name: tensor.clone() for name, tensor in model.state_dict().items()})


def _translate(kind, sizes):
    _, channels, levels, latent, bits = sizes
    checkpoint = _checkpoint(kind, sizes)
    return checkpoint, translate(checkpoint, WallocConfig(channels, levels, latent, bits), "x.pth")


def _codec(translation):
    with torch.device("meta"):
        codec = Codec(translation.spec, translation.channels, translation.axes)
    codec.load_state_dict(translation.state, assign=True)
    return codec.eval().requires_grad_(False)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("side", [2, 3], ids=["below", "above"])
@pytest.mark.parametrize("name", CASES)
def test_latents_symbols_and_linear_reconstructions_agree(name, side, batch):
    kind, sizes = CASES[name][:2]
    checkpoint, translation = _translate(kind, sizes)
    codec = _codec(translation)
    x = torch.randn(batch, sizes[1], *CASES[name][side]).clamp(-3, 3) / 3
    assert codec.quantize(codec.encode(x)).abs().max() > 1
    parity = compare("walloc", checkpoint, translation, codec, x)
    assert parity.latents < 1e-5 and parity.symbols == 0
    if kind == "LinearCodec2D":
        assert parity.reconstruction < 1e-5 and translation.remarks == ()
    else:
        assert parity.reconstruction is None and "pseudo-inverse" in translation.remarks[-1]


def test_the_decoder_in_place_inverts_the_encoder_on_its_range():
    _, translation = _translate("Codec2D", (2, 3, 3, 12, 8))
    codec = _codec(translation)
    y = torch.randn(1, 12, 6, 8)
    v = codec.decoder(y)
    assert torch.allclose(codec.encoder(v), y, atol=1e-4)
    # and the rest of the codec around it: signals of that range come back, but for rounding
    x = WaveletPacket("bior4.4", (3, 3), "periodic").inverse(v)
    bound = codec.decoder.linear.weight.abs().sum(1).max() * 0.6
    back = codec.decoder(codec.quantizer.expand(codec.quantize(codec.encode(x)).float()))
    assert (back - codec.analyse(x)).abs().max() < bound


def test_edge_latents_of_audio_are_named():
    _, translation = _translate("Codec1D", (1, 2, 9, 36, 5))
    assert "either end" in translation.remarks[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.update({"encoders.0.weight": torch.zeros(1)}), "several stages"),
        (lambda t: t.pop("encoder.0.weight"), "linear encoder"),
        (lambda t: t.pop("encoder.0.bias"), "encoder.0.bias"),
        (lambda t: t.update(extra=torch.zeros(2)), "extra"),
        (lambda t: t.update({"encoder.0.weight": torch.zeros(12, 48, 1, 1)}), "shape"),
    ],
    ids=["residual", "network", "bias", "extra", "shape"],
)
def test_what_is_not_represented_is_refused(change, words):
    tensors = dict(_checkpoint("LinearCodec2D", (2, 3, 3, 12, 8)).tensors)
    change(tensors)
    with pytest.raises(FormatError, match=words) as caught:
        translate(Checkpoint({}, tensors), WallocConfig(3, 3, 12, 8), "x.pth")
    assert str(caught.value).startswith("x.pth: expected") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "JSON"),
        ("[]", "channels of 1 to 4096, got None"),
        ('{"channels": 3, "J": 3, "latent_dim": 12}', "latent_bits"),
        ('{"channels": 3, "J": true, "latent_dim": 12, "latent_bits": 8}', "J of 1 to 12, got True"),
        ('{"channels": 3, "J": 3, "latent_dim": 12, "latent_bits": 9}', "latent_bits of 2 to 8, got 9"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(tmp_path, text, words):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(FormatError, match=words):
        read_config(path)
    with pytest.raises(FormatError, match="--config names the file"):
        read_config(tmp_path / "none.json")


@pytest.mark.slow
def test_the_command(tmp_path):
    checkpoint = _checkpoint("LinearCodec2D", (2, 3, 3, 12, 8))
    torch.save({"model_state_dict": checkpoint.tensors}, tmp_path / "rgb.pth")
    settings = {"channels": 3, "J": 3, "latent_dim": 12, "latent_bits": 8}
    (tmp_path / "rgb.json").write_text(json.dumps(settings))
    out = tmp_path / "model"
    done = CliRunner().invoke(app, ["import-walloc", str(tmp_path / "rgb.pth"), str(out), "--quiet"])
    assert done.exit_code == 0, done.output
    assert "beside walloc" in done.output and "0 symbols differ" in done.output
    recipe = load(out).recipe
    assert recipe.modality.name == "rgb" and recipe.codec.quantizer.kind == "gaussian"

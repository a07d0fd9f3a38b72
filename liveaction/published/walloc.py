"""WaLLoC checkpoints (arXiv 2412.09405; the classes Codec1D, Codec2D and LinearCodec2D of the package walloc).

Their encoder is one linear projection of the packets, hence representable exactly; their signals lie in [-1/2, 1/2],
ours in [-1, 1], which the weights absorb. A linear decoder comes along too. Their other decoders are networks of the
package diffusers, which the kit does not have: in their place stands the pseudo-inverse of the encoder, which further
training may improve.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from liveaction.errors import FormatError
from liveaction.files import read_small
from liveaction.model_folder import LONGEST_CONFIG
from liveaction.published.checkpoint import Checkpoint
from liveaction.published.translation import WAVELET, Translation, Weights
from liveaction.spec import CodecSpec

_FILTERS = ("wt.", "iwt.")
_SETTINGS = {"channels": (1, 4096), "J": (1, 12), "latent_dim": (1, 65536), "latent_bits": (2, 8)}


@dataclass(frozen=True)
class WallocConfig:
    """What the JSON file beside a checkpoint says and its tensors do not."""

    channels: int
    levels: int
    latent_channels: int
    latent_bits: int


def read_config(path: Path) -> WallocConfig:
    """Read a published configuration; settings of the networks that are not imported are ignored.

    Raises:
        FormatError: not JSON, or a setting is missing or out of range.
    """
    rule = f"{path}: expected a WaLLoC configuration in JSON"
    try:
        data = json.loads(read_small(path, LONGEST_CONFIG).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(f"{rule}, got {' '.join(str(error).split())}; --config names the file") from error
    for name, (low, high) in _SETTINGS.items():
        value = data.get(name) if isinstance(data, dict) else None
        if type(value) is not int or not low <= value <= high:
            raise FormatError(f"{rule} with {name} of {low} to {high}, got {value!r}")
    return WallocConfig(data["channels"], data["J"], data["latent_dim"], data["latent_bits"])


def translate(checkpoint: Checkpoint, config: WallocConfig, where: str) -> Translation:
    """The recipe and the weights of a WaLLoC checkpoint.

    Raises:
        FormatError: not such a checkpoint, or its encoder is not linear.
    """
    weights = Weights(checkpoint.tensors, where)
    if weights.has("encoders."):
        raise FormatError(
            f"{where}: expected one encoder, got several stages (ResidualCodec2D), which are not represented"
        )
    if not weights.has("encoder.0.weight"):
        raise FormatError(
            f"{where}: expected a linear encoder 'encoder.0.weight' (lightweight_encode true), got "
            f"{', '.join(list(checkpoint.tensors)[:3])}; other encoders are not represented"
        )
    axes = len(weights.shape("encoder.0.weight", 3)) - 2
    hidden, latent = config.channels * 2 ** (axes * config.levels), config.latent_channels
    ones = (1,) * axes
    weights.drop_filters(_FILTERS)
    down = weights.take("encoder.0.weight", (latent, hidden, *ones)).reshape(latent, hidden)
    bias = weights.take("encoder.0.bias", (latent,))
    remarks = []
    if axes == 1:
        remarks.append("the published encoder adds one latent at either end that is its bias alone; ours does not")
    if weights.has("decoder.1.weight"):
        up = weights.take("decoder.1.weight", (hidden, latent, *ones)).reshape(hidden, latent)
        offset = weights.take("decoder.1.bias", (hidden,))
        weights.finish()
    else:
        inverse = torch.linalg.pinv(down.double())
        up, offset = inverse.float(), -(inverse @ bias.double()).float()
        remarks.append(
            f"the published decoder ({len(weights.left)} tensors) is not represented; in its place stands the "
            "pseudo-inverse of the encoder; train --start-from with this model goes on from there"
        )
    spec = CodecSpec.model_validate(
        {
            "latent_channels": latent,
            "wavelet": WAVELET,
            "levels": config.levels,
            "boundary": "folded",
            "encoder": {"kind": "linear", "depth": 0, "projection": "dense"},
            "decoder": {"kind": "linear", "depth": 0},
            "quantizer": {"kind": "gaussian", "step": 1, "bits": config.latent_bits},
        }
    )
    state = {
        # x in [-1, 1] is twice their x
        "encoder.down.weight": 0.5 * down,
        "encoder.down.bias": bias,
        "decoder.linear.weight": 2 * up,
        "decoder.linear.bias": 2 * offset,
    }
    return Translation(spec, config.channels, axes, state, tuple(remarks))

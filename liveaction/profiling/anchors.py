"""The published packages' forms of operations, to compare with: livecodec and tft, where they are installed."""

import warnings
from functools import lru_cache
from typing import Any

import torch

WAVELET = "bior4.4"


def monarch(x: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor) -> torch.Tensor:
    """Two grouped convolutions with a permutation between: ``[B, C, *S] -> [B, C_out, *S]``, on one to three axes."""
    layer = _factorized(x.ndim - 2, x.shape[1], w2.shape[0] * w2.shape[1])
    taps = (1,) * (x.ndim - 2)
    weights = {
        "conv1.weight": w1.flatten(0, 1).unflatten(1, (-1, *taps)),
        "conv2.weight": w2.flatten(0, 1).unflatten(1, (-1, *taps)),
    }
    y: torch.Tensor = torch.func.functional_call(layer, weights, (x,))
    return y


def attention(x: torch.Tensor, w_qkv: torch.Tensor, w_out: torch.Tensor) -> torch.Tensor:
    """Linear attention of one head with its projections, without the norm behind: ``[B, C, T] -> [B, C, T]``."""
    layer = _attention(x.shape[1])
    q, k, v = w_qkv.chunk(3)
    weights = {
        "qkv.weight": torch.stack([q, k, v], 1).flatten(0, 1).unsqueeze(2),
        "proj.conv.weight": w_out.unsqueeze(2),
    }
    y: torch.Tensor = torch.func.functional_call(layer, weights, (x,))
    return y


def analysis(x: torch.Tensor, levels: int) -> torch.Tensor:
    """Wavelet packets of one to three axes, one level and one axis at a time."""
    y: torch.Tensor = _packets(x.ndim - 2, levels, x.device)[0](x)
    return y


def synthesis(y: torch.Tensor, levels: int) -> torch.Tensor:
    """The way back."""
    x: torch.Tensor = _packets(y.ndim - 2, levels, y.device)[1](y)
    return x


@lru_cache(maxsize=16)
def _factorized(axes: int, c_in: int, c_out: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the package imports, others have deprecated since
        from livecodec.monarch import FactorizedConvND

    with torch.device("meta"):
        return FactorizedConvND(axes, c_in, c_out)


@lru_cache(maxsize=16)
def _attention(channels: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from livecodec.evit import LiteMLAND

    with torch.device("meta"):
        return LiteMLAND(1, channels, channels, norm_layer=lambda width: torch.nn.Identity())


@lru_cache(maxsize=16)
def _packets(axes: int, levels: int, device: torch.device) -> tuple[Any, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tft import wavelet

    if not 1 <= axes <= 3:
        raise ImportError(f"the published package has wavelets of 1 to 3 axes, not {axes}")
    forth = getattr(wavelet, f"DWT{axes}DForward")(J=1, wave=WAVELET).to(device)
    back = getattr(wavelet, f"DWT{axes}DInverse")(wave=WAVELET).to(device)
    packets = getattr(wavelet, f"WPT{axes}D")(wt=forth, J=levels).to(device)
    return packets, getattr(wavelet, f"IWPT{axes}D")(iwt=back, J=levels).to(device)

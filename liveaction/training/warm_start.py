"""Warm start: the linear path begins as the Karhunen-Loeve transform of the training data.

One pass over crops accumulates mean and covariance of the wavelet packets in float64. The projection E -> L starts as
the leading eigenvectors, the linear path back as their transpose, and every residual part at zero: step 0 of training
already is optimal linear transform coding.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from liveaction.codec.codec import Codec
from liveaction.errors import SpecError
from liveaction.nn.monarch import Dense


@dataclass(frozen=True)
class Moments:
    """Mean ``[E]`` and covariance ``[E, E]`` of packet vectors, float64, over ``tokens`` of them."""

    tokens: int
    mean: torch.Tensor
    covariance: torch.Tensor


def packet_moments(codec: Codec, batches: Iterable[torch.Tensor]) -> Moments:
    """One streaming pass.

    Args:
        codec: gives the packets; its learned parts do not matter.
        batches: signals in [-1, 1], ``[B, C, *S]``.

    Raises:
        SpecError: there was no batch.
    """
    tokens, total, product = 0, torch.zeros(()), torch.zeros(())
    with torch.no_grad():
        for batch in batches:
            v = codec.analyse(batch).transpose(0, 1).flatten(1).double()
            tokens, total, product = tokens + v.shape[1], total + v.sum(1), product + v @ v.T
    if tokens == 0:
        raise SpecError("[training] warm_crops: expected at least one crop to measure, got none")
    mean = total / tokens
    return Moments(tokens, mean, product / tokens - torch.outer(mean, mean))


def warm_start(codec: Codec, moments: Moments) -> torch.Tensor:
    """Start the linear paths as the KLT and the residual parts at zero; in place.

    Returns:
        The eigenvalues ``[E]``, largest first: the variance that each latent carries.

    Raises:
        SpecError: the codec has no dense linear path on both sides, or compands.
    """
    down, up = codec.encoder.down, codec.decoder.linear
    if not isinstance(down, Dense) or not isinstance(up, Dense) or codec.spec.compand:
        raise SpecError(
            "[training] start: warm needs a dense encoder projection, a decoder with a linear path and no companding, "
            "got a codec without; set start to random"
        )
    values, vectors = torch.linalg.eigh(moments.covariance)
    basis = vectors.flip(1)[:, : down.weight.shape[0]].T
    # eigenvectors have no sign of their own: the entry largest in size is made positive, so that runs agree
    largest = basis.gather(1, basis.abs().argmax(1, keepdim=True))
    basis = basis * torch.where(largest < 0, -1.0, 1.0)
    with torch.no_grad():
        down.weight.copy_(basis)
        down.bias.copy_(-(basis @ moments.mean))
        up.weight.copy_(basis.T)
        up.bias.copy_(moments.mean)
    codec.encoder.start_at_projection()
    codec.decoder.start_at_linear_path()
    eigenvalues: torch.Tensor = values.flip(0).clamp(min=0)
    return eigenvalues

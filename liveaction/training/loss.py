"""Loss: log10 MSE(x, x_hat) + lambda * R."""

from typing import Literal

import torch

FLOOR = 1e-10
"""Added to MSE and variances, so that constant signals have a finite loss."""


def distortion(x: torch.Tensor, reconstruction: torch.Tensor, known: torch.Tensor | None = None) -> torch.Tensor:
    """log10 of the mean squared error of signals in [-1, 1]; equal shapes ``[B, C, *S]``.

    Args:
        known: 1 where the signal was measured and 0 where it was not, which then does not count; None: everywhere.
    """
    error = (x - reconstruction).square()
    mean = error.mean() if known is None else (error * known).sum() / known.sum().clamp(min=1)
    return torch.log10(mean + FLOOR)


def rate(companded: torch.Tensor, step: float, kind: Literal["local", "gaussian", "channel", "global"]) -> torch.Tensor:
    """Rate term R of ``u = companded / step``.

    Args:
        companded: ``[B, L, *G]`` before noise or rounding.
        step: quantiser step.
        kind: ``global``: log2 of one standard deviation over all latents, as published (bits per latent, up to a
            constant); ``channel``: mean over channels of log2 of each one's; ``gaussian``: sum over channels of
            1/2 log2(1 + 12 var), the rate of a Gaussian with the quantisation noise in it, never negative (bits per
            token); ``local`` (our default): the same with each token's own squared deviation for the variance, the
            rate of a coder that knows the local scale. A signal that is busy in few places has heavy-tailed latents;
            ``gaussian`` charges those places by their square and blurs them, ``local`` by their logarithm.
    """
    u = (companded / step).transpose(0, 1).flatten(1)
    if kind == "global":
        return 0.5 * torch.log2(u.var(correction=0) + FLOOR)
    if kind == "local":
        deviation = u - u.mean(1, keepdim=True)
        return (0.5 * torch.log2(1.0 + 12.0 * deviation.square())).mean(1).sum()
    variance = u.var(1, correction=0)
    if kind == "channel":
        return (0.5 * torch.log2(variance + FLOOR)).mean()
    return (0.5 * torch.log2(1.0 + 12.0 * variance)).sum()


def symbol_entropy(symbols: torch.Tensor) -> float:
    """Mean over channels of the order-0 entropy of integers ``[B, L, *G]``, in bits per latent.

    Each channel is measured against its own histogram, so this is a yardstick and not a code length.
    """
    bits = 0.0
    for channel in symbols.transpose(0, 1).flatten(1):
        _, counts = channel.unique(return_counts=True)
        share = counts.double() / channel.numel()
        bits -= float((share * share.log2()).sum())
    return bits / symbols.shape[1]

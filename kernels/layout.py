"""Memory layout behind ``[B, C, *S]``: channels innermost on GPUs, tokens innermost elsewhere."""

import torch


def tokens_last(x: torch.Tensor) -> torch.Tensor:
    """``[B, C, *S]`` as a contiguous matrix of tokens ``[T, C]``, T = B * prod S; a view where the strides allow it."""
    return x.movedim(1, -1).reshape(-1, x.shape[1]).contiguous()


def empty_tokens_last(like: torch.Tensor, channels: int, dtype: torch.dtype | None = None) -> torch.Tensor:
    """An uninitialised ``[B, channels, *S]``, batch and extents those of ``like``, channels innermost in memory."""
    shape = (like.shape[0], *like.shape[2:], channels)
    return torch.empty(shape, dtype=dtype or like.dtype, device=like.device).movedim(-1, 1)


def laid_tokens_last(x: torch.Tensor) -> torch.Tensor:
    """``[B, C, *S]`` with the channels innermost in memory; a new tensor where it lies otherwise."""
    return tokens_last(x).view(x.shape[0], *x.shape[2:], x.shape[1]).movedim(-1, 1)

"""Projections of a token's channels: Monarch (of a token or of its neighbourhood) and dense."""

from math import sqrt

import torch
import torch.nn.functional as F
from torch import nn

from liveaction.kernels.monarch import monarch, monarch_to_dense
from liveaction.nn.sizes import choose_groups


class Monarch(nn.Module):
    """Structured projection ``[B, C_in, *S] -> [B, C_out, *S]``; see :mod:`liveaction.kernels.monarch`.

    Args:
        c_in, c_out: any; the groups are the divisor pair with the least multiplications.
        bias: add a learnt bias, which starts at 0.
    """

    def __init__(self, c_in: int, c_out: int, bias: bool = False) -> None:
        super().__init__()
        self.c_in, self.c_out = c_in, c_out
        g1, g2 = choose_groups(c_in, c_out)
        # the published start: uniform within 1/sqrt(fan in) of each factor
        self.w1 = nn.Parameter(torch.empty(g1, g2, g2).uniform_(-1 / sqrt(g2), 1 / sqrt(g2)))
        self.w2 = nn.Parameter(torch.empty(g2, c_out // g2, g1).uniform_(-1 / sqrt(g1), 1 / sqrt(g1)))
        self.bias = nn.Parameter(torch.zeros(c_out)) if bias else None

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        return f"{self.c_in}, {self.c_out}, groups=({self.w1.shape[0]}, {self.w1.shape[1]})"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Project every token."""
        return monarch(x, self.w1, self.w2, self.bias)

    def dense(self) -> torch.Tensor:
        """The same projection as a matrix ``[C_out, C_in]``."""
        return monarch_to_dense(self.w1, self.w2)


class MonarchConv(nn.Module):
    """A Monarch projection whose two factors are convolutions, zeros outside: ``[B, C_in, *S] -> [B, C_out, *S]``.

    Args:
        c_in, c_out: as for :class:`Monarch`.
        kernel_size: odd taps per axis.
        axes: D, at most 3.

    ``w1`` is ``[g1, g2, g2, *taps]`` and ``w2`` ``[g2, q, g1, *taps]``; with one tap per axis this is Monarch.
    """

    def __init__(self, c_in: int, c_out: int, kernel_size: int, axes: int) -> None:
        super().__init__()
        self.c_in, self.c_out, self.axes = c_in, c_out, axes
        g1, g2 = choose_groups(c_in, c_out)
        taps = (kernel_size,) * axes
        first, second = 1 / sqrt(g2 * kernel_size**axes), 1 / sqrt(g1 * kernel_size**axes)
        self.w1 = nn.Parameter(torch.empty(g1, g2, g2, *taps).uniform_(-first, first))
        self.w2 = nn.Parameter(torch.empty(g2, c_out // g2, g1, *taps).uniform_(-second, second))

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        return f"{self.c_in}, {self.c_out}, groups={tuple(self.w1.shape[:2])}, taps={tuple(self.w1.shape[3:])}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Project every token from itself and its neighbours."""
        g1, g2 = self.w1.shape[:2]
        convolve = (F.conv1d, F.conv2d, F.conv3d)[self.axes - 1]
        h = convolve(x, self.w1.flatten(0, 1), padding="same", groups=g1)
        h = h.unflatten(1, (g1, g2)).transpose(1, 2).flatten(1, 2)
        return convolve(h, self.w2.flatten(0, 1), padding="same", groups=g2)


class Dense(nn.Module):
    """Dense projection with a bias: ``[B, C_in, *S] -> [B, C_out, *S]``."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        bound = 1 / sqrt(c_in)
        self.weight = nn.Parameter(torch.empty(c_out, c_in).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(c_out))

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        return f"{self.weight.shape[1]}, {self.weight.shape[0]}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Project every token."""
        y = self.weight @ x.flatten(2)
        return (y + self.bias[:, None].to(y.dtype)).reshape(*y.shape[:2], *x.shape[2:])

"""Dense heads: a class at every position of a grid, from features on a coarser one."""

from math import prod
from typing import Any

import torch
from torch import nn

from liveaction.errors import ShapeError, SpecError
from liveaction.learning.stem import CONVOLUTIONS


def shuffle(x: torch.Tensor, factors: tuple[int, ...]) -> torch.Tensor:
    """Channels to positions: ``[B, K * prod factors, *G]`` to ``[B, K, *(G * factors)]``.

    The pixel shuffle of Shi et al., "Real-time single image and video super-resolution", CVPR 2016, on any axes.

    Raises:
        ShapeError: the channels are not a multiple, or there are not as many axes.
    """
    if x.ndim != len(factors) + 2 or x.shape[1] % prod(factors):
        raise ShapeError(
            f"shuffle: expected [B, K * {prod(factors)}, *G] with {len(factors)} axes, got {tuple(x.shape)}"
        )
    grid, axes = x.shape[2:], len(factors)
    x = x.reshape(len(x), -1, *factors, *grid)
    order = (axis for a in range(axes) for axis in (2 + axes + a, 2 + a))
    sides = (n * factor for n, factor in zip(grid, factors, strict=True))
    return x.permute(0, 1, *order).reshape(len(x), x.shape[1], *sides)


class DenseHead(nn.Module):
    """A network on a grid of tokens, a convolution of one token, and :func:`shuffle`: classes at label positions.

    Args:
        net: gives features ``[B, net.width, *G]`` on its grid of tokens, as the body of a ``token_net`` of maps; such a
            network that has a head already lends its body.
        classes: K.
        factors: label positions per token along each axis.
        drop: share of the features, whole channels, that are dropped in training.

    Raises:
        SpecError: the network halves its grid.

    Example:
        >>> from liveaction.learning.inputs import InputSpec
        >>> from liveaction.learning.nets import token_net
        >>> statistics = {"mean": (0,), "deviation": (1,), "least": (-4,), "most": (4,)}
        >>> table = {"channels": 1, "grid": (3, 5), "axes": ("y", "x"), "factors": (8, 8)}
        >>> spec = InputSpec(**table, task="map", outputs=4, statistics=statistics)
        >>> DenseHead(token_net(spec), classes=4, factors=(8, 8))(torch.zeros(1, 1, 3, 5)).shape
        torch.Size([1, 4, 24, 40])
    """

    def __init__(self, net: Any, classes: int, factors: tuple[int, ...], drop: float = 0.0) -> None:
        super().__init__()
        body = getattr(net, "body", net)
        if getattr(body, "strided", False):
            raise SpecError(
                "dense head: expected a network that keeps its grid, got one that halves it; build it with task 'map'"
            )
        self.body, self.factors, self.drop = body, tuple(factors), nn.Dropout(drop)
        self.patch = getattr(body, "patch", (1,) * len(factors))
        self.head = CONVOLUTIONS[len(factors)](body.width, classes * prod(factors), 1)

    def forward(self, x: torch.Tensor, extents: tuple[int, ...] | None = None) -> torch.Tensor:
        """Values ``[B, C, *S]`` to ``[B, K, *]``.

        Args:
            x: what the network takes.
            extents: of the labels, where they are fewer than the input covers; all that it covers where None.
        """
        y = shuffle(self.head(self.drop(self.body(x))), self.factors)
        covered = zip(x.shape[2:], self.factors, self.patch, strict=True)
        extents = extents or tuple(n * factor // side for n, factor, side in covered)
        return y[(slice(None), slice(None), *(slice(0, n) for n in extents))]

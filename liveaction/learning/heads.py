"""Dense heads: classes at every position of a grid, from features on a coarser one; or latents of another signal."""

from collections.abc import Iterable
from math import prod
from typing import Any

import torch
from torch import nn

from liveaction.errors import ShapeError, SpecError
from liveaction.learning.stem import CONVOLUTIONS
from liveaction.transforms.window import pad_to_multiple

RIDGE = 1e-6
"""Of least squares, beside the mean square of what is projected."""


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


class SignalHead(nn.Module):
    """Latents of another signal, a vector per token: a projection of the input, to which a network on it adds.

    The projection is solved by :meth:`start`, and fixed; the network learns what it leaves, and begins with nothing.

    Args:
        body: gives features ``[B, body.width, *G]``.
        direct: a :class:`~liveaction.learning.nets.PatchStem`, or a ``LatentStem``, that gives ``[B, outputs, *G]``.
        outputs: latents of a token.
        drop: share of the features, whole channels, that are dropped in training.
    """

    def __init__(self, body: Any, direct: nn.Module, outputs: int, drop: float = 0.0) -> None:
        super().__init__()
        self.body, self.drop = body, nn.Dropout(drop)
        self.direct: Any = direct.requires_grad_(False)
        convolution: Any = CONVOLUTIONS[len(body.patch)]
        self.head = convolution(body.width, outputs, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    @torch.no_grad()
    def start(self, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Solve the projection by least squares, token by token, with a little ridge.

        Args:
            batches: values ``[B, C, *S]`` and latents ``[B, outputs, *G]``; every item that is learnt from, once.
        """
        sides = tuple(self.body.patch)
        gram, cross = torch.zeros(()), torch.zeros(())
        for x, y in batches:
            rows = _tokens(pad_to_multiple(self.direct.scaling(x), sides), sides).double()
            rows = torch.cat([rows, rows.new_ones(len(rows), 1)], 1)
            gram, cross = gram + rows.T @ rows, cross + rows.T @ y.movedim(1, -1).flatten(0, -2).double()
        ridge = RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
        solved = torch.linalg.solve(gram + ridge, cross).float()
        weight = self.direct.projection.weight
        weight.copy_(solved[:-1].T.reshape(weight.shape))
        self.direct.projection.bias.copy_(solved[-1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Values ``[B, C, *S]`` to latents ``[B, outputs, *G]``."""
        y: torch.Tensor = self.direct(x) + self.head(self.drop(self.body(x)))
        return y


def _tokens(x: torch.Tensor, sides: tuple[int, ...]) -> torch.Tensor:
    """``[B, C, *(G * sides)]`` to ``[B * prod G, C * prod sides]``, in the order of a convolution's weights."""
    axes = len(sides)
    split = (n for total, side in zip(x.shape[2:], sides, strict=True) for n in (total // side, side))
    x = x.reshape(*x.shape[:2], *split)
    grid, inside = range(2, 2 + 2 * axes, 2), range(3, 2 + 2 * axes, 2)
    return x.permute(0, *grid, 1, *inside).flatten(0, axes).flatten(1)

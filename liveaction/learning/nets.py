"""Networks of one body for every kind of input: latents, samples, resampled samples, all on the same grid of tokens."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from liveaction.errors import SpecError
from liveaction.learning.heads import DenseHead, SignalHead
from liveaction.learning.inputs import InputSpec
from liveaction.learning.stem import CONVOLUTIONS, NORMS, LatentStem, Scale, Scaling, axes_of
from liveaction.transforms.window import pad_to_multiple


class Residual(nn.Module):
    """Two convolutions of 3 along each axis, normalised, around a shortcut: ``[B, W, *G]`` to ``[B, V, *G / stride]``.

    As in He et al., "Deep residual learning for image recognition", CVPR 2016.
    """

    def __init__(self, axes: int, before: int, width: int, stride: int) -> None:
        super().__init__()
        conv, norm = CONVOLUTIONS[axes], NORMS[axes]
        self.first = nn.Sequential(conv(before, width, 3, stride, 1, bias=False), norm(width), nn.ReLU())
        self.second = nn.Sequential(conv(width, width, 3, 1, 1, bias=False), norm(width))
        same = before == width and stride == 1
        self.shortcut = nn.Identity() if same else conv(before, width, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features to features."""
        return torch.relu(self.second(self.first(x)) + self.shortcut(x))


class PatchStem(nn.Module):
    """One linear projection of a patch of values per token; extents that a patch does not divide repeat their last.

    ``[B, C, *S]`` to ``[B, width, *ceil(S / patch)]``.
    """

    def __init__(self, spec: InputSpec, width: int, scale: Scale, patch: tuple[int, ...]) -> None:
        super().__init__()
        self.patch, self.scaling = patch, Scaling(spec, scale)
        self.projection = CONVOLUTIONS[axes_of(spec)](spec.channels, width, patch, patch)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Values to features of each token."""
        y: torch.Tensor = self.projection(pad_to_multiple(self.scaling(x), self.patch))
        return y


class PyramidStem(nn.Module):
    """Convolutions of stride 2 from values to tokens, for networks whose cost is free; shapes as of PatchStem.

    Raises:
        SpecError: an extent of the patch is no power of two.
    """

    def __init__(self, spec: InputSpec, width: int, scale: Scale, patch: tuple[int, ...]) -> None:
        super().__init__()
        if any(side & (side - 1) for side in patch):
            raise SpecError(
                f"patch: expected powers of two for a pyramid, got {patch}; take stem 'patch', or change the patch"
            )
        conv, norm = CONVOLUTIONS[axes_of(spec)], NORMS[axes_of(spec)]
        depths = [side.bit_length() - 1 for side in patch]
        layers: list[nn.Module] = []
        before, steps = spec.channels, max(depths)
        for step in range(steps):
            after = max(1, min(width, 16 * 2**step))
            stride = tuple(2 if step < depth else 1 for depth in depths)
            size = 5 if step == 0 else 3
            layers += [conv(before, after, size, stride, size // 2, bias=False), norm(after), nn.ReLU()]
            before = after
        self.patch, self.scaling = patch, Scaling(spec, scale)
        self.layers = nn.Sequential(*layers, conv(before, width, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Values to features of each token."""
        y: torch.Tensor = self.layers(pad_to_multiple(self.scaling(x), self.patch))
        return y


class TokenBody(nn.Module):
    """A stem and residual blocks: ``[B, C, *S]`` to features ``[B, width, *]``.

    Attributes:
        width: of the features.
        patch: positions of the input per token along each axis.
        strided: whether the grid of tokens is halved between widths; where not, features stand on it.
    """

    def __init__(self, stem: nn.Module, axes: int, widths: Sequence[int], patch: tuple[int, ...], strided: bool):
        super().__init__()
        self.width, self.patch, self.strided = widths[-1], patch, strided
        self.stem, self.norm = stem, NORMS[axes](widths[0])
        before = (widths[0], *widths)
        blocks = (Residual(axes, before[k], width, 2 if k and strided else 1) for k, width in enumerate(widths))
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Values to features."""
        y: torch.Tensor = self.blocks(self.norm(self.stem(x)))
        return y


class TokenNet(nn.Module):
    """:class:`TokenBody`, the mean of its features over the grid, and a linear head: ``[B, C, *S]`` to ``[B, K]``."""

    def __init__(self, body: TokenBody, outputs: int, drop: float) -> None:
        super().__init__()
        self.body, self.drop, self.head = body, nn.Dropout(drop), nn.Linear(body.width, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Values to a number per class, or to the numbers of each item."""
        y: torch.Tensor = self.head(self.drop(self.body(x).flatten(2).mean(-1)))
        return y


def token_net(
    spec: InputSpec,
    widths: Sequence[int] = (32, 64),
    classes: int | None = None,
    drop: float = 0.2,
    patch: int | Sequence[int] | None = None,
    scale: Scale = "one",
    stem: Literal["patch", "pyramid"] = "patch",
) -> TokenNet | DenseHead | SignalHead:
    """The reference network: the same body for latents and, by ``patch``, for samples on the same grid of tokens.

    Args:
        spec: of the inputs, of 1 to 3 axes; extents of other items may differ from its grid.
        widths: of the residual blocks; the grid is halved between two of them, but where labels are maps
            or signals.
        classes: outputs; those of the spec where None.
        drop: share of features that are dropped before the head in training.
        patch: values per token along each axis, a number for all of them; None, for latents, is one.
        scale: as of :class:`liveaction.learning.stem.Scaling`.
        stem: ``patch``, one projection; or ``pyramid``, strided convolutions from values to tokens, at any cost.

    Returns:
        A network ``[B, C, *S]`` to ``[B, classes]``; of maps a :class:`liveaction.learning.heads.DenseHead` with
        ``label_factors`` label positions per position of the input; of signals a
        :class:`liveaction.learning.heads.SignalHead`.

    Raises:
        SpecError: a grid of four axes, no widths, or a patch that does not fit.

    Example:
        >>> statistics = {"mean": (0,), "deviation": (1,), "least": (-4,), "most": (4,)}
        >>> table = {"channels": 1, "grid": (4096,), "axes": ("t",), "factors": (1,)}
        >>> spec = InputSpec(**table, task="class", outputs=10, statistics=statistics)
        >>> token_net(spec, patch=128)(torch.zeros(2, 1, 4096)).shape
        torch.Size([2, 10])
    """
    axes = axes_of(spec)
    sides = _patch(patch, axes)
    if not widths or min(widths) < 1:
        raise SpecError(f"widths: expected at least one of 1 or more, got {tuple(widths)}")
    if not 0 <= drop < 1:
        raise SpecError(f"drop: expected a share from 0 to below 1, got {drop!r}")
    if stem not in ("patch", "pyramid"):
        raise SpecError(f"stem: expected 'patch' or 'pyramid', got {stem!r}")
    outputs = classes or spec.outputs
    dense = spec.task in ("map", "signal")
    body = TokenBody(_front(spec, widths[0], scale, sides, stem), axes, widths, sides, strided=not dense)
    if not dense:
        return TokenNet(body, outputs, drop)
    if spec.task == "signal":
        return SignalHead(body, _front(spec, outputs, scale, sides, "patch"), outputs, drop)
    positions = spec.label_factors or (1,) * axes
    return DenseHead(body, outputs, tuple(a * b for a, b in zip(positions, sides, strict=True)), drop)


def _front(spec: InputSpec, width: int, scale: Scale, sides: tuple[int, ...], stem: str) -> nn.Module:
    """From values to ``width`` features of each token."""
    if stem == "pyramid":
        return PyramidStem(spec, width, scale, sides)
    return LatentStem(spec, width, scale) if max(sides) == 1 else PatchStem(spec, width, scale, sides)


def _patch(patch: int | Sequence[int] | None, axes: int) -> tuple[int, ...]:
    sides = (patch or 1,) * axes if patch is None or isinstance(patch, int) else tuple(patch)
    if len(sides) != axes or min(sides) < 1:
        raise SpecError(f"patch: expected a number or {axes} of them, one per axis, got {patch!r}")
    return sides

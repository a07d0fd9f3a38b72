"""What a published checkpoint becomes: settings and weights under our names, every tensor accounted for."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from liveaction.errors import FormatError
from liveaction.spec import CodecSpec
from liveaction.transforms.wavelet import level_filters

WAVELET = "bior4.4"  # of every published codec


@dataclass(frozen=True)
class Translation:
    """A published codec in our terms.

    Attributes:
        spec: the recipe's ``codec`` table; ``channels`` C and ``axes`` D go with it.
        state: the weights, by the names of :class:`liveaction.codec.codec.Codec`.
        remarks: one line for each thing that is not as in the checkpoint.
    """

    spec: CodecSpec
    channels: int
    axes: int
    state: dict[str, torch.Tensor]
    remarks: tuple[str, ...] = ()


class Weights:
    """The tensors of a checkpoint, each to be taken once; ``where`` stands first in complaints."""

    def __init__(self, tensors: dict[str, torch.Tensor], where: str) -> None:
        self.left = dict(tensors)
        self.where = where

    def has(self, prefix: str) -> bool:
        """Whether a tensor whose name begins with ``prefix`` is left."""
        return any(name.startswith(prefix) for name in self.left)

    def shape(self, name: str, axes: int = 0) -> tuple[int, ...]:
        """Extents of a tensor that is left.

        Raises:
            FormatError: there is none of that name, or it has fewer than ``axes`` axes.
        """
        if name not in self.left or self.left[name].ndim < axes:
            got = f"one of shape {tuple(self.left[name].shape)}" if name in self.left else "none of that name"
            raise FormatError(f"{self.where}: expected a tensor {name!r} of {axes} or more axes, got {got}")
        return tuple(self.left[name].shape)

    def take(self, name: str, shape: Iterable[int]) -> torch.Tensor:
        """The tensor of that name and shape, which is then gone from here.

        Raises:
            FormatError: there is none, or of another shape, or not of floating point numbers.
        """
        expected = tuple(shape)
        found = self.left.pop(name, None)
        if found is None or tuple(found.shape) != expected or not found.is_floating_point():
            got = "none" if found is None else f"{tuple(found.shape)} of {found.dtype}"
            raise FormatError(f"{self.where}: expected a float tensor {name!r} of shape {expected}, got {got}")
        return found

    def drop_filters(self, prefixes: tuple[str, ...]) -> None:
        """Take the wavelet's own filters, which our transform makes anew, and see that they are those of bior4.4.

        Raises:
            FormatError: they are of another wavelet.
        """
        # a decomposition's and a reconstruction's filters differ in signs and in their order alone
        known = [np.sort(np.abs(taps)) for taps in level_filters(WAVELET)]
        for name in [name for name in self.left if name.startswith(prefixes)]:
            taps = np.sort(self.left.pop(name).abs().double().flatten().numpy())
            if not any(taps.shape == own.shape and np.allclose(taps, own, atol=1e-6) for own in known):
                raise FormatError(f"{self.where}: expected filters of {WAVELET} under {name!r}, got others")

    def finish(self) -> None:
        """See that nothing is left.

        Raises:
            FormatError: tensors are left, which no part of the codec would use.
        """
        if self.left:
            names = ", ".join(list(self.left)[:4])
            raise FormatError(f"{self.where}: expected no other tensors, got {len(self.left)} more such as {names}")

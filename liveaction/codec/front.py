"""What stands before the codec of one signal: its own basis, and the tree that suits it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from liveaction.codec.codec import Source
from liveaction.codec.grid import Box, slices
from liveaction.codec.header import StreamHeader
from liveaction.codec.own_basis import OwnBasis, box_stride, fit_from
from liveaction.codec.tree_choice import choose_tree
from liveaction.coding.container import ContainerReader
from liveaction.mapped import parts, release_pages
from liveaction.signal import Signal

if TYPE_CHECKING:
    from liveaction.codec.model import Model
    from liveaction.modalities.base import Modality


class SignalSource:
    """A signal's values ``[1, C, *S]`` in [-1, 1], made box by box as the codec asks for them."""

    def __init__(
        self, modality: "Modality", values: NDArray[Any], limits: tuple[float, float], device: torch.device
    ) -> None:
        self.modality, self.values, self.limits, self.device = modality, values, limits, device
        self.shape = (1, *values.shape)

    def crop(self, box: Box) -> torch.Tensor:
        """The values of a box, ``[1, C, *]``; pages of a mapped file are released behind it."""
        part = self.modality.normalise(self.values[(slice(None), *slices(box))], self.limits)
        release_pages(self.values)
        return part[None].to(self.device)


@dataclass(frozen=True)
class ComponentSource:
    """The components ``[K, 1, *S]`` of a signal in a basis of its own."""

    signal: Source
    basis: OwnBasis

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole."""
        return (self.basis.components, 1, *self.signal.shape[2:])

    def crop(self, box: Box) -> torch.Tensor:
        """The components of a box, ``[K, 1, *]``."""
        return self.basis.analyse(self.signal.crop(box)[0])[:, None]


@dataclass(frozen=True)
class Front:
    """One signal as the codec takes it.

    Attributes:
        source: its values, or the components of its own basis.
        tree: number of the codec's tree.
        basis: None where the recipe has none of the signal's own.
    """

    source: Source
    tree: int = 0
    basis: OwnBasis | None = None

    @property
    def batch(self) -> int:
        """How many signals are coded side by side: 1, or K."""
        return self.source.shape[0]

    @property
    def components(self) -> int:
        """K of the own basis, 0 without one."""
        return 0 if self.basis is None else self.basis.components

    @property
    def side(self) -> bytes:
        """What the decoder must have beside the chunks."""
        return b"" if self.basis is None else self.basis.to_bytes()


def front_of(
    model: "Model",
    signal: Signal,
    limits: tuple[float, float],
    step: float,
    stage: Callable[[str], None] = lambda text: None,
    tree: int | None = None,
) -> Front:
    """The front of one signal.

    Args:
        model: that codes it.
        signal: values ``[C, *S]``.
        limits: the values that map onto -1 and 1.
        step: of the quantiser.
        stage: is told what happens.
        tree: number of the tree; None chooses it.
    """
    source: Source = SignalSource(model.modality, signal.filled(), limits, model.device)
    basis = None
    if model.codec.own:
        stage("fitting the basis of its channels")
        basis = fit_from(_pieces(source, signal), step, prod(signal.shape))
        source = ComponentSource(source, basis)
    if tree is None and len(model.codec.trees) > 1:
        stage("choosing how to split the axes")
    return Front(source, choose_tree(model.codec, source, step) if tree is None else tree, basis)


def _pieces(source: Source, signal: Signal) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_] | None]]:
    """Pieces of a signal, of a large one a share: values of all channels in [-1, 1], and which are missing."""
    stride = box_stride(signal.values.size)
    for part in islice(parts(signal.values, whole=0), 0, None, stride):
        values = source.crop(tuple((each.start, each.stop) for each in part[1:]))[0].cpu().numpy()
        yield values, None if signal.missing is None else signal.missing[part]


def basis_of(header: StreamHeader, container: ContainerReader, where: str) -> OwnBasis | None:
    """The basis that a stream carries; None where it has none.

    Raises:
        FormatError: what it carries is no basis of its channels and components.
    """
    if not container.side and not header.components:
        return None
    return OwnBasis.from_bytes(container.side, header.shape[0], header.components, header.step, where)

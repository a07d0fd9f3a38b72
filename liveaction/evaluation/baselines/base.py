"""What a baseline is: an encoder from an array to bytes, and a decoder that sees the bytes alone."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from numpy.typing import NDArray


@dataclass(frozen=True)
class Array:
    """What is coded: a signal's values, clipped to their limits, with nothing missing.

    Attributes:
        values: ``[C, *S]`` in the native dtype.
        axes: names of S.
        limits: the range in the unit that the values lie in.
        rate: samples per second of sound; None for all else.
    """

    values: NDArray[Any]
    axes: tuple[str, ...]
    limits: tuple[float, float]
    rate: float | None = None


class Baseline(ABC):
    """One codec with its options fixed but for one number, from which its rates follow.

    Attributes:
        name: as ``--baselines`` takes it; ``label`` as tables and plots show it.
        library: what codes, with its version.
        setting: what the number is ("CRF"); ``ladder`` a useful span of it.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    setting: ClassVar[str]
    ladder: ClassVar[tuple[float, ...]]

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads

    @property
    @abstractmethod
    def library(self) -> str:
        """Name and version of what codes."""

    @abstractmethod
    def refuses(self, array: Array) -> str | None:
        """Why this codec cannot code such an array, in a few words; None where it can."""

    @abstractmethod
    def encode(self, array: Array, value: float) -> bytes:
        """All that :meth:`decode` needs, extents, limits and side information included.

        Args:
            value: of :attr:`setting`.
        """

    @abstractmethod
    def decode(self, data: bytes) -> NDArray[Any]:
        """``[C, *S]`` in the unit, any real dtype; not yet rounded to the native one where the codec is lossy."""

"""What a judge is: a model that sees one decoded signal and says what it is, scored against the item's label."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import ClassVar

from liveaction.errors import SpecError
from liveaction.signal import Signal


class Judge(ABC):
    """A fixed model; it learns nothing here, and it does not know which codec it looks at.

    Attributes:
        name: as ``--judge`` takes it; ``label`` as reports show it.
        measure: key of the score in ``Measurement.metrics``: ``accuracy`` for classes, whose scores are 0 and 1,
            ``characters_right`` or ``frames_right`` for shares.
        library: what computes, with its version.
        classes: all that it can say, where these are few; labels have to be among them.
        identity: all that its answers depend on, weights included: verdicts of another are made again.
    """

    name: str
    label: str
    measure: ClassVar[str] = "accuracy"
    library: str
    classes: Sequence[str] = ()

    @property
    def identity(self) -> str:
        """Name and library; a judge with weights of its own adds their digest."""
        return f"{self.name}, {self.library}"

    @abstractmethod
    def refuses(self, signal: Signal, modality: str) -> str | None:
        """Why it cannot judge such a signal, in a few words; None where it can.

        Args:
            modality: name of the modality that read the signal.
        """

    @abstractmethod
    def predict(self, signal: Signal) -> str:
        """What the signal is, as a text: a class, a transcript.

        Args:
            signal: values ``[C, *S]`` in their unit, in the native dtype.
        """

    def score(self, prediction: str, label: str) -> float:
        """0 to 1, more is better; here 1 where both are the same."""
        return float(prediction == label)


def require(package: str, judge: str) -> str:
    """Name and version of an installed package.

    Raises:
        SpecError: it is not installed; names the extra that brings it.
    """
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        raise SpecError(
            f"--judge {judge}: expected the package {package}, got none; pip install '.[judges]' in a clone of this "
            "repository"
        ) from None

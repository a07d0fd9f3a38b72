"""Sources that cannot be read: the first one is an error before others are read, or each of them is left out."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from liveaction.errors import FormatError, LiveactionError, printable
from liveaction.training.data import TrainingItem, cached_signal, find_items, is_cached
from liveaction.training.result import LeftOut

if TYPE_CHECKING:
    from liveaction.modalities.base import Modality


class Sieve:
    """What of ``--data`` and ``--val`` can be read.

    Args:
        modality: finds and reads.
        folder: the cache.
        skip: leave out what cannot be read; without, the first such source is an error.
        stage: is told what is being read, and what is left out.

    Attributes:
        left_out: what was skipped so far, and why.
    """

    def __init__(self, modality: "Modality", folder: Path, skip: bool, stage: Callable[[str], None]) -> None:
        self.modality, self.folder, self.skip, self.stage = modality, folder, skip, stage
        self.left_out: list[LeftOut] = []

    def find(self, option: str, sources: Sequence[str]) -> list[TrainingItem]:
        """The items of ``option``, ``--data`` or ``--val``, that are sound so far as is cheap to see.

        Raises:
            FormatError: one is not, unless such are skipped; or all of them are.
        """
        before = len(self.left_out)
        items = find_items(self.modality, sources, self._searched)
        return self._whole(option, items, self._check, before)

    def read(self, option: str, items: Sequence[TrainingItem]) -> list[TrainingItem]:
        """The items that can be read; all of them are in the cache then.

        Raises:
            FormatError: one cannot be, unless such are skipped; or none can.
        """
        return self._whole(option, items, self._read, len(self.left_out))

    def _whole(
        self, option: str, items: Sequence[TrainingItem], look: Callable[[TrainingItem], None], before: int
    ) -> list[TrainingItem]:
        """Those that ``look`` takes; ``before`` are left out of other options, or were on an earlier look."""
        sound = []
        for item in items:
            with self._guarded(item.name):
                look(item)
                sound.append(item)
        bad = self.left_out[before:]
        if bad and not sound:
            raise FormatError(
                f"{option}: expected a signal that can be read, got {len(bad)} that cannot, the first: {bad[0].error}"
            )
        return sound

    def _check(self, item: TrainingItem) -> None:
        if item.path is not None and not is_cached(item, self.modality, self.folder):
            self.modality.check(item.path)

    def _read(self, item: TrainingItem) -> None:
        self.stage(f"reading {item.name}")
        cached_signal(item, self.modality, self.folder)

    def _searched(self, source: str) -> AbstractContextManager[None]:
        """What is there may be left out; what is not was misspelt."""
        return self._guarded(source) if Path(source).exists() else nullcontext()

    @contextmanager
    def _guarded(self, source: str) -> Iterator[None]:
        try:
            yield
        except MemoryError:
            raise
        except Exception as error:
            told = _named(error, source)
            if not self.skip:
                raise told from error
            self.left_out.append(LeftOut(source, str(told)))
            self.stage(f"left out: {told}")


def _named(error: Exception, source: str) -> LiveactionError:
    """An error that says which source it is of; one that nobody foresaw with its kind."""
    text = printable(error)
    if isinstance(error, LiveactionError):
        return error if source in str(error) else type(error)(f"{source}: {text}")
    got = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {text[:160]}"
    return FormatError(f"{source}: expected a signal that can be read, got {got}; leave it out, or add --skip-bad")

"""What was decoded last, kept for whoever asks again."""

from collections import OrderedDict
from typing import Generic, Protocol, TypeVar

from liveaction.coding.source import Guard


class _Sized(Protocol):
    @property
    def nbytes(self) -> int: ...


Key = TypeVar("Key")
Value = TypeVar("Value", bound=_Sized)


class Kept(Generic[Key, Value]):
    """What was used last, up to so many bytes; threads may share it."""

    def __init__(self, most: int) -> None:
        self.most, self._size, self._guard = most, 0, Guard()
        self._values = OrderedDict[Key, Value]()

    def get(self, key: Key) -> Value | None:
        """What is kept, None where nothing is."""
        with self._guard.held():
            return self._values.get(key)

    def keep(self, key: Key, value: Value) -> None:
        """Remember a value as the newest; the oldest are forgotten."""
        with self._guard.held():
            before = self._values.pop(key, None)
            self._values[key] = value
            self._size += value.nbytes - (before.nbytes if before is not None else 0)
            while self._size > self.most:
                self._size -= self._values.popitem(last=False)[1].nbytes

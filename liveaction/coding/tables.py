"""Stub."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class EntropyTables:
    channels: int
    axes: int

    def arrays(self) -> dict[str, Any]:
        return {"size": np.array([self.channels, self.axes], np.int32)}

    @classmethod
    def from_arrays(cls, arrays: Any, where: str) -> "EntropyTables":
        return cls(*map(int, arrays["size"]))

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self.channels} {self.axes}".encode()).hexdigest()


def generic_tables(channels: int, axes: int) -> EntropyTables:
    return EntropyTables(channels, axes)


def fit_tables(examples: Any, channels: int, axes: int) -> EntropyTables:
    list(examples)
    return EntropyTables(channels, axes)

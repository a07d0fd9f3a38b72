"""A store of latents: symbols of many items as they are learnt from, mapped into memory, with all that must be known.

STORE/store.json                 what it holds, and of which model; written last, so that what has one is whole
STORE/latents-00000.safetensors  ``values``, the symbols of all items one after the other, and ``grids`` [n, D]
STORE/labels.safetensors         ``classes`` [N], ``numbers`` [N, K], or ``maps``, one after the other, and ``shapes``
STORE/items.jsonl                a line per item: name, digest, split, group, extents, bytes

An item has a row for each view. Where all grids of a shard are one, ``values`` is [n, L, *G]; else it is flat.
"""

import hashlib
from collections import Counter
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from liveaction.errors import FormatError, SpecError, printable
from liveaction.files import file_digest, read_small
from liveaction.learning.inputs import Exact, Statistics, Task
from liveaction.learning.mapping import map_tensors
from liveaction.learning.whole import check_grids, check_items, check_labels, check_table
from liveaction.spec import ModalitySpec
from liveaction.strict_json import read_json_bytes

ABOUT, ITEMS, LABELS = "store.json", "items.jsonl", "labels.safetensors"
VERSION = 1
IDENTITY = "identity"
UNLABELLED = -1
"""Of a class in a map: nobody said."""
_LONGEST = 2**28

Count = Annotated[int, Field(ge=0, le=2**62, strict=True)]


def shard_name(number: int) -> str:
    """The file of a shard."""
    return f"latents-{number:05}.safetensors"


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StoredItem(_Table):
    """A line of ``items.jsonl``.

    Attributes:
        name: below the source; ``digest`` the SHA-256 of what was read.
        shape: ``[C, *S]`` of the signal that was encoded; ``grid`` its latents'.
        payload, container: bytes of its stream: what its chunks take, and all else.
    """

    name: str
    digest: str
    split: str
    group: str
    label: str
    shape: tuple[Count, ...]
    grid: tuple[Count, ...]
    payload: Count
    container: Count

    @property
    def bytes(self) -> int:
        """Of its stream."""
        return self.payload + self.container


class Shard(_Table):
    """A file of latents: how many items it holds."""

    name: str
    items: Count


class StoreTable(_Table):
    """What ``store.json`` says.

    Attributes:
        kind: ``latents`` are symbols of a model; ``samples`` are signals as they are, or with fewer samples.
        model, coding: digests of the model's weights, and of its entropy tables; empty of samples.
        recipe: the model's, whole; of samples None.
        modality: how items are read.
        step: that symbols are multiplied by.
        channels: L of an item; ``axes`` and ``factors`` per axis of its grid.
        dtype: of what is kept.
        views: of every item: ``identity``, ``flip:x``, ``flip:x+flip:y``.
        task, names: of the labels; None where there are none.
        fit: extents that signals were cut or continued to, per axis.
        fast: symbols were rounded as they are.
        splits: items of each.
        statistics: of the split ``train`` alone, or of everything where that is empty.
        exact: which changes have exact counterparts.
    """

    version: Literal[1] = 1
    kind: Literal["latents", "samples"]
    model: str = ""
    coding: str = ""
    recipe: dict[str, Any] | None = None
    modality: ModalitySpec
    step: float = Field(gt=0, allow_inf_nan=False)
    channels: Annotated[int, Field(ge=1)]
    axes: tuple[str, ...]
    factors: tuple[Annotated[int, Field(ge=1)], ...]
    dtype: str
    views: tuple[str, ...] = (IDENTITY,)
    task: Task | None = None
    names: tuple[str, ...] = ()
    fit: dict[str, int] = Field(default_factory=dict)
    fast: bool = False
    splits: dict[str, int]
    statistics: Statistics
    exact: Exact
    shards: tuple[Shard, ...]

    @property
    def count(self) -> int:
        """Of all items."""
        return sum(shard.items for shard in self.shards)


class LatentStore:
    """A store that is there, to be read; threads and forked processes may share it, and it may be pickled.

    Args:
        folder: of the store.

    Attributes:
        about: what it says of itself.
        items: in the order of their rows.

    Raises:
        FormatError: it is no store, is not finished, or is damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.about = read_about(self.folder)
        self.items = read_items(self.folder / ITEMS)
        check_items(self.about, self.items, str(self.folder))
        self._check_shards()

    def __reduce__(self) -> tuple[Any, ...]:
        return LatentStore, (self.folder,)

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that it says: its table, its items and their labels."""
        names = [ABOUT, ITEMS, LABELS] if self.about.task else [ABOUT, ITEMS]
        return hashlib.sha256("\n".join(file_digest(self.folder / name) for name in names).encode()).hexdigest()

    @property
    def uniform(self) -> tuple[int, ...] | None:
        """The grid of all items; None where they differ."""
        grids = {item.grid for item in self.items}
        return grids.pop() if len(grids) == 1 else None

    def split(self, name: str) -> list[int]:
        """Numbers of the items of a split.

        Raises:
            SpecError: it has none.
        """
        found = [number for number, item in enumerate(self.items) if item.split == name]
        if not found:
            raise SpecError(f"split: expected one of {sorted(self.about.splits)}, got {name!r}")
        return found

    def latents(self, number: int, view: int = 0) -> NDArray[Any]:
        """The symbols of an item ``[L, *G]``, a read-only view of the file."""
        shard, row = self._place(number, view)
        values, offsets, grids = self._shards[shard]
        grid = tuple(int(n) for n in grids[row])
        flat = values.reshape(-1)[offsets[row] : offsets[row + 1]]
        found: NDArray[Any] = flat.reshape(self.about.channels, *grid)
        return found

    def batch(self, numbers: list[int], view: int = 0) -> NDArray[Any]:
        """Symbols of several items of one grid ``[n, L, *G]``, a copy; read in the order in which they lie.

        Raises:
            SpecError: their grids differ.
        """
        grids = {self.items[number].grid for number in numbers}
        if len(grids) != 1:
            raise SpecError(f"batch: expected items of one grid, got {sorted(grids)[:4]}; crop them")
        found = np.empty((len(numbers), self.about.channels, *grids.pop()), self.about.dtype)
        for place in np.argsort(numbers, kind="stable"):
            found[place] = self.latents(numbers[place], view)
        return found

    @cached_property
    def classes(self) -> NDArray[np.int64]:
        """The class of every item.

        Raises:
            SpecError: labels are something else.
        """
        return np.asarray(self._label("class", "classes"))

    @cached_property
    def numbers(self) -> NDArray[np.float32]:
        """The numbers of every item, ``[N, K]``.

        Raises:
            SpecError: labels are something else.
        """
        return np.asarray(self._label("number", "numbers"))

    def map(self, number: int) -> NDArray[np.int16]:
        """The classes of an item at its samples, :data:`UNLABELLED` where nobody said.

        Raises:
            SpecError: labels are something else.
        FormatError: a class that has no name.
        """
        flat, shapes = self._label("map", "maps"), self._labels["shapes"]
        start = int(np.prod(shapes[:number], axis=1).sum()) if number else 0
        shape = tuple(int(n) for n in shapes[number])
        found: NDArray[np.int16] = flat[start : start + prod(shape)].reshape(shape)
        if not UNLABELLED <= found.min() <= found.max() < len(self.about.names):
            raise FormatError(
                f"{self.folder / LABELS}: expected classes below {len(self.about.names)} for "
                f"{self.items[number].name!r}, got {found.min()} to {found.max()}; make the store again"
            )
        return found

    def _label(self, task: str, name: str) -> NDArray[Any]:
        if self.about.task != task:
            raise SpecError(f"{self.folder}: expected labels of the kind {task}, got {self.about.task or 'none'}")
        return self._labels[name]

    @cached_property
    def _labels(self) -> dict[str, NDArray[Any]]:
        return check_labels(self.about, self.items, map_tensors(self.folder / LABELS), str(self.folder / LABELS))

    @cached_property
    def _shards(self) -> list[tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]]:
        return [self._shard(number) for number in range(len(self.about.shards))]

    def _shard(self, number: int) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]:
        """Its values, where each row begins in them, and the rows' grids."""
        shard, first = self.about.shards[number], int(self._firsts[number])
        path = self.folder / shard.name
        found = map_tensors(path)
        values, grids = found.get("values"), found.get("grids")
        if values is None or grids is None or values.dtype.name != self.about.dtype:
            got = sorted(found) if values is None or grids is None else values.dtype.name
            raise FormatError(
                f"{path}: expected {self.about.dtype} values of {shard.items * len(self.about.views)} rows, got {got}"
            )
        check_grids(self.about, grids, values.size, self.items[first : first + shard.items], path)
        sizes = self.about.channels * np.prod(np.asarray(grids), axis=1)
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        return values, offsets, np.asarray(grids)

    @cached_property
    def _firsts(self) -> NDArray[np.int64]:
        return np.cumsum([0, *(shard.items for shard in self.about.shards)])

    def _place(self, number: int, view: int) -> tuple[int, int]:
        if not -len(self) <= number < len(self):
            raise IndexError(f"item {number} is out of bounds for a store of {len(self)}")
        number %= len(self)
        shard = int(np.searchsorted(self._firsts, number, side="right")) - 1
        return shard, (number - int(self._firsts[shard])) * len(self.about.views) + view

    def _check_shards(self) -> None:
        """Shards are there, and none is shorter than a byte for each of its symbols."""
        for number, shard in enumerate(self.about.shards):
            path, first = self.folder / shard.name, int(self._firsts[number])
            if shard.name != shard_name(number) or not path.is_file():
                raise FormatError(f"{self.folder}: expected its file {shard.name!r}, got none; make the store again")
            positions = sum(prod(item.grid) for item in self.items[first : first + shard.items])
            least = positions * self.about.channels * len(self.about.views)
            if path.stat().st_size < least:
                raise FormatError(
                    f"{path}: expected a safetensors file of a store of at least {least} bytes, got a shorter one; "
                    "make the store again"
                )


def read_about(folder: Path) -> StoreTable:
    """What a store says of itself.

    Raises:
        FormatError: it is no store, or was not finished.
    """
    if not (folder / ABOUT).is_file():
        raise FormatError(f"{folder}: expected a store of latents, got none; `liveaction latents` makes one")
    data = read_json_bytes(_read(folder / ABOUT), str(folder / ABOUT), "a store's table")
    version = data.get("version") if isinstance(data, dict) else None
    if version != VERSION:
        raise FormatError(
            f"{folder / ABOUT}: expected version {VERSION}, got {printable(version)[:40]}; take the version of "
            "liveaction that wrote it"
        )
    try:
        about = StoreTable.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))[:120]
        raise FormatError(f"{folder / ABOUT}: expected key {key!r} to be right, got: {first['msg'].lower()}") from error
    check_table(about, str(folder / ABOUT))
    return about


def read_items(path: Path) -> list[StoredItem]:
    """The lines of a file of items.

    Raises:
        FormatError: one is none, or the file cannot be read.
    """
    items = []
    for number, line in enumerate(_read(path).splitlines(), start=1):
        try:
            items.append(StoredItem.model_validate_json(line))
        except ValidationError as error:
            raise FormatError(f"{path}: line {number}: expected an item, got {line[:60]!r}") from error
    return items


def _read(path: Path) -> bytes:
    try:
        return read_small(path, _LONGEST)
    except OSError as error:
        raise FormatError(f"{path}: expected a readable part of a store, got {error.strerror}") from error


def counted(items: list[StoredItem]) -> dict[str, int]:
    """How many items each split has."""
    return dict(sorted(Counter(item.split for item in items).items()))

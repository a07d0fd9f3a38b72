"""Who learns from what and is tested on what; groups never cross."""

from collections.abc import Sequence
from dataclasses import dataclass

from liveaction.errors import SpecError
from liveaction.learning.labels import TEST, TRAIN, LabelledItem
from liveaction.probing.protocol import FoldsTable


@dataclass(frozen=True)
class Division:
    """One fold: names of the items to learn from, and of those to be tested on."""

    name: str
    learn: tuple[str, ...]
    test: tuple[str, ...]


def divisions(items: Sequence[LabelledItem], table: FoldsTable) -> list[Division]:
    """The folds of a table.

    Raises:
        SpecError: a group is in no fold or in two, a fold has nothing to learn from, or there are no groups.
    """
    if table.own:
        return [_division("own", items, [item.name for item in items if item.split == TEST], items_of(items, TRAIN))]
    groups = sorted({item.group for item in items})
    if "" in groups or len(groups) < 2:
        raise SpecError(
            f"folds: expected items of at least two groups, got {groups}; labels name them by (?P<group>...)"
        )
    if table.groups:
        named = [group for fold in table.groups for group in fold]
        if sorted(named) != groups:
            raise SpecError(f"folds.groups: expected every group of {groups} once, got {sorted(named)}")
        parts = [set(fold) for fold in table.groups]
    else:
        assert table.count is not None
        if table.count > len(groups):
            raise SpecError(f"folds.count: expected at most {len(groups)}, one of each group, got {table.count}")
        parts = [set(groups[first :: table.count]) for first in range(table.count)]
    return [
        _division(
            f"fold{number + 1}", items,
            [item.name for item in items if item.group in part],
            [item.name for item in items if item.group not in part],
        )
        for number, part in enumerate(parts)
    ]  # fmt: skip


def items_of(items: Sequence[LabelledItem], split: str) -> list[str]:
    """Names of the items of a split."""
    return [item.name for item in items if item.split == split]


def _division(name: str, items: Sequence[LabelledItem], test: list[str], learn: list[str]) -> Division:
    if not test or not learn:
        raise SpecError(
            f"folds: expected items to learn from and to test, got {len(learn)} and {len(test)} of {len(items)}"
        )
    return Division(name, tuple(learn), tuple(test))

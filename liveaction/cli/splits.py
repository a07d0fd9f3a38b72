"""What verbs say of how a codec splits a signal: its trees of bands, components of a basis of its own."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from liveaction.codec.codec import Codec
    from liveaction.codec.writing import Written
    from liveaction.signal import Signal
    from liveaction.spec import TreeSpec


def tree_text(tree: "TreeSpec", axes: tuple[str, ...]) -> str:
    """A tree in words: ``blocks of 8 along x, y; 1 level along z; lowest band: 1 more step``."""
    banks: dict[str, list[str]] = {}
    pairs = zip(tree.levels_per_axis(len(axes)), tree.blocks_per_axis(len(axes)), axes, strict=True)
    for level, block, axis in pairs:
        bank = f"blocks of {block}" if block else _counted(level, "level") if level else "nothing"
        banks.setdefault(bank, []).append(axis)
    words = [f"{bank} along {', '.join(names)}" for bank, names in banks.items()]
    if steps := tree.steps(len(axes)):
        named = [", ".join(name for name, on in zip(axes, step, strict=True) if on) for step in steps]
        alike = set(named[:1]) if len(set(named)) == 1 else named
        along = "" if set(named) == {", ".join(axes)} else f" along {', then '.join(alike)}"
        words.append(f"lowest band: {_counted(len(steps), 'more level')}{along}")
    return "; ".join(words)


def split_lines(codec: "Codec", signal: "Signal", written: "Written") -> list[str]:
    """Which tree a signal took, where there were several, and how many components its own basis has."""
    lines, count = [], len(codec.trees)
    if count > 1:
        spec = codec.trees[written.tree].spec
        lines.append(f"split as tree {written.tree + 1} of {count}: {tree_text(spec, signal.axes)}")
    if codec.own:
        channels = _counted(len(signal.values), "channel")
        lines.append(f"{_counted(written.components, 'component')} of a basis of its own for {channels}")
    return lines


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"

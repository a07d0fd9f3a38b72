"""How plots of an evaluation look: colours that colour-blind readers can tell apart, on light and on dark pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

_MARKERS = ("s", "^", "D", "v", "P", "X", "<", ">", "h", "*")
_DASHES = ((0, (5, 1.6)), (0, (2, 1.2)), (0, (6, 1.5, 1.5, 1.5)), (0, (3, 1.2, 1, 1.2, 1, 1.2)))


class Drawn(Protocol):
    """What is drawn as a line: a codec, of a curve, ours or a baseline."""

    @property
    def curve(self) -> str:
        """Whose family it is of."""

    @property
    def kind(self) -> str:
        """``model`` or ``baseline``."""


@dataclass(frozen=True)
class Theme:
    """Colours of one page: ``models`` strong, from Okabe and Ito's palette (2008), ``baselines`` muted."""

    paper: str
    ink: str
    dim: str
    grid: str
    models: tuple[str, ...]
    baselines: tuple[str, ...]


LIGHT = Theme(
    "#ffffff", "#1b1f24", "#57606a", "#e4e7eb",
    ("#0072b2", "#d55e00", "#009e73", "#cc3d91", "#7a4fd0", "#b8860b"),
    ("#6e7781", "#a07f4f", "#6f9a9c", "#a3788f", "#8c9a5b", "#5d6f9b", "#b49a8a", "#4d5560"),
)  # fmt: skip
DARK = Theme(
    "#14171b", "#e8eaed", "#a3abb5", "#2b3036",
    ("#56b4e9", "#ff8a3d", "#2fd1a2", "#f28cc8", "#b49bff", "#f0c23c"),
    ("#9aa4af", "#c4a476", "#8fbcbe", "#c79ab2", "#b0bd7f", "#92a3cc", "#cdb8aa", "#77828e"),
)  # fmt: skip


@dataclass(frozen=True)
class Style:
    """How one curve is drawn."""

    colour: str
    marker: str
    dashes: str | tuple[int, tuple[float, ...]]
    width: float


def styles_of(lines: Sequence[Drawn], theme: Theme) -> dict[str, Style]:
    """A style per curve: models in strong colours and whole lines, baselines in muted ones, dashed, other markers."""
    kinds = {line.curve: line.kind for line in lines}
    models = [curve for curve, kind in kinds.items() if kind == "model"]
    baselines = [curve for curve, kind in kinds.items() if kind != "model"]
    styles = {
        curve: Style(theme.models[k % len(theme.models)], "o", "-", 2.4) for k, curve in enumerate(models)
    }  # fmt: skip
    for k, curve in enumerate(baselines):
        colour, marker = theme.baselines[k % len(theme.baselines)], _MARKERS[k % len(_MARKERS)]
        styles[curve] = Style(colour, marker, _DASHES[k % len(_DASHES)], 1.6)
    return styles

"""Tables for other numbers of components than those they were fitted to: a signal with its own basis decides them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Rows(NamedTuple):
    """Where the rows of tables for another number of components come from.

    Attributes:
        rows: int64 ``[L]``, the row of the old tables that each takes.
        sources: int32 ``[L, K]``, the sources of each among the new rows, -1 for none.
        outer: new rows of the coarser part.
    """

    rows: NDArray[np.int64]
    sources: NDArray[np.int32]
    outer: int


def rows_of(components: int, bands: int, sources: NDArray[np.integer], outer: int) -> Rows:
    """Rows for so many components of ``bands`` each, component-major.

    Beyond the last known component its rows are repeated, with sources that lie as many components back.

    Args:
        components: K, from 1 on.
        bands: n, rows of a component.
        sources: ``[Kmax * n, S]``, among ``outer`` rows of the coarser part and those before.
        outer: rows of the coarser part, ``Kmax * m``.
    """
    known = len(sources) // bands
    outer_bands = outer // known
    component = np.arange(components).repeat(bands)
    moved = np.maximum(component - (known - 1), 0)[:, None]
    rows = np.minimum(component, known - 1) * bands + np.tile(np.arange(bands), components)
    old = sources[rows].astype(np.int32)
    inside = old + moved * outer_bands
    room = components * outer_bands
    inside = np.where(inside < room, inside, -1)  # of a component that this signal lacks
    own = old - outer + moved * bands + room
    return Rows(rows, np.where(old < 0, -1, np.where(old < outer, inside, own)).astype(np.int32), room)


def first_rows(rows: int, outer: int, sources: NDArray[np.integer], known: int) -> NDArray[np.int32]:
    """Sources ``[rows, S]`` of the first rows, where the coarser part has ``outer`` of ``known`` rows, -1 for none."""
    old = sources[:rows].astype(np.int32)
    return np.where(old >= known, old - known + outer, np.where(old < outer, old, -1))

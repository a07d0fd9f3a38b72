"""How an array lies in its file: names of the stored axes, and the way to channels first and back."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator

from liveaction.errors import FormatError, SpecError
from liveaction.modalities.array.formats import DTYPES
from liveaction.modalities.options import NoDataOptions
from liveaction.spec import ModalitySpec, Positive


class ArrayOptions(NoDataOptions):
    """``modality.options`` of an array.

    ``order`` names the axes as stored, the channel axis among them; without it the channel axis (where there may be
    more than one channel) comes first, then the transformed axes. ``key`` names one array of several in a file.
    ``dtype`` refuses files of another one. ``no_data`` stands where nothing was measured. ``spacing`` is per
    transformed axis.
    """

    order: tuple[str, ...] | None = None
    channel_axis: str = "c"
    key: str | None = None
    dtype: str | None = None
    spacing: tuple[Positive, ...] | None = None

    @field_validator("key", mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value  # level 0 of OME-Zarr

    @field_validator("dtype")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None and value not in DTYPES:
            raise ValueError(f"expected one of {', '.join(DTYPES)}, got {value!r}; change it in the recipe")
        return value


class StoredOrder:
    """The stored axes of a recipe.

    Raises:
        SpecError: the options contradict each other or the axes.
    """

    def __init__(self, spec: ModalitySpec, options: ArrayOptions) -> None:
        self.spec, self.axes, self.channel = spec, spec.axes, options.channel_axis
        several = spec.channels != 1  # or may be
        self.order = options.order or ((self.channel,) if several else ()) + spec.axes
        if self.channel in spec.axes:
            raise SpecError(
                f"[modality.options] channel_axis: expected a name that is not in axes {list(spec.axes)}, got "
                f"{self.channel!r}; choose another name for the channel axis"
            )
        wanted = {*spec.axes, self.channel} if several else {*spec.axes}
        twice = len(set(self.order)) != len(self.order) or len(set(spec.axes)) != len(spec.axes)
        if twice or not wanted <= {*self.order}:
            raise SpecError(
                f"[modality.options] order: expected each of {sorted(wanted)} once, got {list(self.order)}; list the "
                "axes as they are stored"
            )
        if options.spacing is not None and len(options.spacing) != len(spec.axes):
            raise SpecError(
                f"[modality.options] spacing: expected one number per axis {list(spec.axes)}, got "
                f"{list(options.spacing)}; change it in the recipe"
            )

    def channels_first(self, array: NDArray[Any], path: Path) -> NDArray[Any]:
        """The stored array as ``[C, *S]``, a view.

        Raises:
            FormatError: other axes or channels than the recipe's, or an empty array.
        """
        order, stored = self.order, f"got shape {array.shape}"
        if array.ndim != len(order):
            raise FormatError(f"{path}: expected axes {list(order)}, {stored}; list them in modality.options.order")
        if 0 in array.shape:
            raise FormatError(f"{path}: expected at least one sample per axis {list(order)}, {stored}")
        sizes = dict(zip(order, array.shape, strict=True))
        if not self.spec.takes(sizes.get(self.channel, 1)):
            raise FormatError(
                f"{path}: expected {self.spec.channels} channel(s) on axis {self.channel!r}, got "
                f"{sizes[self.channel]}; change modality.channels or options.order"
            )
        for name, extent in sizes.items():
            if name not in (self.channel, *self.axes) and extent != 1:
                raise FormatError(
                    f"{path}: expected extent 1 on axis {name!r}, which is neither in modality.axes nor the channel "
                    f"axis, got {extent}; add it to axes, make it channel_axis, or split the file along it"
                )
        wanted = ([self.channel] if self.channel in order else []) + list(self.axes)
        rest = [name for name in order if name not in wanted]
        whole = array.transpose([order.index(name) for name in (*rest, *wanted)])
        moved: NDArray[Any] = whole[(0,) * len(rest)]
        return moved if self.channel in order else moved[np.newaxis]

    def stored_box(self, box: tuple[tuple[int, int], ...]) -> tuple[slice, ...]:
        """Ranges per transformed axis as one slice per stored axis."""
        ranges = dict(zip(self.axes, box, strict=True))
        return tuple(slice(*ranges[name]) if name in ranges else slice(None) for name in self.order)

    def as_stored(self, values: NDArray[Any]) -> NDArray[Any]:
        """Inverse of :meth:`channels_first`."""
        have = [self.channel, *self.axes]
        if self.channel not in self.order:
            values, have = values[0], have[1:]
        moved = values.transpose([have.index(name) for name in self.order if name in have])
        stored: NDArray[Any] = moved[tuple(slice(None) if name in have else np.newaxis for name in self.order)]
        return stored

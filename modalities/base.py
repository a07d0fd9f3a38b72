"""What every modality does: a file format, a unit, a value range."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from liveaction.errors import FormatError, ShapeError, SpecError
from liveaction.files import require_regular
from liveaction.mapped import check_mapped, parts, spread_sample
from liveaction.metrics import Percentile, Similarity, mean_squared_error, similarity_by_slab
from liveaction.modalities.exhibit import Exhibit
from liveaction.modalities.ranges import (
    as_float32,
    constant_range,
    constant_values,
    extremes,
    is_constant,
    needs_float64,
)
from liveaction.signal import Signal
from liveaction.spec import LARGEST, ModalitySpec
from liveaction.strict_json import write_json_bytes

UNSCALED = ("t", "time", "band")
"""Axes that keep their samples where a signal is decoded at a scale, unless they are the only one."""

LONGEST_METADATA = 15 << 20
"""Bytes as JSON; a stream's header holds 16 MiB."""


def _taking_text(method: Callable[..., Any], place: int) -> Callable[..., Any]:
    """``method`` with its argument ``path``, the one after ``place`` others, made a :class:`Path`.

    What is about to be read must be files: FIFOs and devices are refused here, for all formats.
    """
    check = _CHECKS.get(method.__name__)

    @wraps(method)
    def call(self: Any, *given: Any, **named: Any) -> Any:
        if "path" in named:
            path = named["path"] = Path(named["path"])
        elif len(given) > place:
            path = Path(given[place])
            given = (*given[:place], path, *given[place + 1 :])
        else:
            return method(self, *given, **named)
        if check is not None:
            check(path)
        return method(self, *given, **named)

    return call


def _checked(read: Callable[..., Signal]) -> Callable[..., Signal]:
    """``read`` with its result's metadata checked: what no stream can hold is refused before any work."""

    @wraps(read)
    def call(self: Any, path: Path) -> Signal:
        signal = read(self, path)
        way = "change it in the source, or leave it out there"
        write_json_bytes({"metadata": signal.metadata}, str(path), way, LONGEST_METADATA)  # as in a header
        return signal

    return call


def _require_regular_file(path: Path) -> None:
    if not path.is_dir():
        require_regular(path)


_CHECKS: dict[str, Callable[[Path], None]] = {
    "find": _require_regular_file,
    "check": require_regular,
    "read": require_regular,
}
_PATHS = {"find": 0, "parts": 0, "check": 0, "read": 0, "check_target": 1, "write": 1, "preview": 2}


class Modality(ABC):
    """Files to signals, signals to [-1, 1], and back.

    A subclass is registered under the entry-point group ``liveaction.modalities``; the codec knows only these
    methods. ``spec`` is the recipe's ``modality`` table. Where a method takes a path it may be text as well: a
    subclass, whose methods are wrapped for that as it is defined, always gets a :class:`Path`. What ``read`` gives is
    checked: its metadata are what a stream's header can hold.
    """

    def __init_subclass__(cls, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        for name, place in _PATHS.items():
            if name in vars(cls):
                method = _checked(vars(cls)[name]) if name == "read" else vars(cls)[name]
                setattr(cls, name, _taking_text(method, place))

    def __init__(self, spec: ModalitySpec) -> None:
        self.spec = spec

    @classmethod
    def recipe_text(cls, name: str, data: Path | None = None, key: str | None = None) -> str:
        """A commented recipe for ``liveaction new``; a modality without one of its own takes a shipped recipe.

        Args:
            name: of the recipe.
            data: a file to fill in axes, channels, dtype, range and levels from.
            key: which array of several in it.

        Raises:
            NotImplementedError: this modality has none.
            FormatError: ``data`` cannot be read.
        """
        raise NotImplementedError

    @abstractmethod
    def find(self, path: Path) -> list[Path]:
        """Items under ``path`` that :meth:`read` takes, sorted: the file itself, or all that a folder holds.

        Raises:
            FormatError: nothing readable is there.
        """

    def parts(self, path: Path) -> list[Path]:
        """Files that an item consists of: where one of them changes, the item is another one."""
        path = Path(path)
        return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]

    def check(self, path: Path) -> None:
        """See what is cheap to see of an item before others are read: its files are there, open, and are not empty.

        A modality whose format has a header may look at that, too.

        Raises:
            FormatError: :meth:`read` will not take it.
            OSError: a file cannot be opened.
        """
        for file in self.parts(Path(path)):
            with file.open("rb") as opened:
                if not opened.read(1):
                    raise FormatError(f"{file}: expected a file that holds something, got an empty one; copy it again")

    @abstractmethod
    def read(self, path: Path) -> Signal:
        """Read one item.

        Raises:
            FormatError: the file cannot be read, or holds values that the modality refuses (NaN, infinity).
        """

    def check_target(self, signal: Signal, path: Path) -> list[Path]:
        """Refuse, before a signal is decoded, what :meth:`write` would refuse for its name, dtype, shape and metadata.

        Args:
            signal: its values may be nothing but a shape.
            path: as for :meth:`write`, which calls this first.

        Returns:
            The files or folders that will be written, ``path`` among them.

        Raises:
            FormatError: a name or a folder that cannot be written, or a format that cannot hold the signal.
            MissingDependencyError: a format needs a package that is not installed.
        """
        check_folder(path)
        return [path]

    @abstractmethod
    def write(self, signal: Signal, path: Path) -> None:
        """Write ``signal`` so that geometry, metadata and dtype equal its source's; atomic."""

    @abstractmethod
    def synthetic(self, seed: int, extents: tuple[int, ...] | None = None) -> Signal:
        """A seeded phantom: equal seeds give equal signals on every machine.

        Args:
            seed: non-negative.
            extents: S; None for a size that shows what the modality is.
        """

    def preview(self, original: Signal | None, reconstruction: Signal, path: Path, title: str = "") -> None:
        """Draw a PNG to look at: original (where there is one), reconstruction and error.

        By default lines of one axis, an image of two, middle planes of more, see
        :func:`liveaction.modalities.array.preview.draw_preview`.

        Raises:
            ShapeError: the two shapes differ.
        """
        from liveaction.modalities.array.preview import draw_preview

        draw_preview(original, reconstruction, Path(path), title or self.spec.name)

    def range_of(self, signal: Signal) -> tuple[float, float]:
        """The values of ``signal`` that map onto -1 and 1: the recipe's, the format's, or percentiles of its own.

        Where the percentiles are equal the least and the largest value are taken, and of a constant its
        :func:`constant_range`.

        Raises:
            FormatError: percentiles that float32 does not hold.
        """
        wanted = self.spec.range
        if isinstance(wanted, tuple):
            return wanted
        if wanted == "native":
            return self.native_range(signal)
        sample = spread_sample(signal.values, signal.missing, 2**24)  # enough to know a percentile
        if sample.size == 0:
            return (0.0, 1.0)
        low, high = (float(v) for v in np.percentile(sample, wanted.percentiles, overwrite_input=True))
        if not low < high:  # most values are one, or all
            low, high = extremes(signal.values, signal.missing)
        if low == high:
            return constant_range(low)
        if not max(abs(low), abs(high), high - low) <= LARGEST:
            raise FormatError(
                f"[modality] range: expected percentiles within ±2**127, got {low:g} and {high:g}; scale the values"
            )
        return float(low), float(high)

    def native_range(self, signal: Signal) -> tuple[float, float]:
        """All that the source's format can hold; for integers of ``signal.bits`` from their least to their largest.

        Raises:
            SpecError: floating-point numbers have no such range.
        """
        dtype = np.dtype(signal.dtype)
        if dtype.kind not in "iu":
            raise SpecError(
                f"[modality] range: expected [low, high] or percentiles for {signal.dtype} values, got 'native', which "
                "is for integers"
            )
        bits = signal.bits or 8 * dtype.itemsize
        return (0.0, 2.0**bits - 1) if dtype.kind == "u" else (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1)

    def normalise(self, values: NDArray[Any], limits: tuple[float, float]) -> torch.Tensor:
        """Map values in the unit onto [-1, 1], clipped to their limits.

        Args:
            values: ``[C, *S]`` in the unit, any real dtype.
            limits: what maps onto -1 and 1, as :meth:`range_of` gives it; the constant of :func:`constant_range`
                maps onto 0.

        Returns:
            float32 ``[C, *S]``.
        """
        check_mapped(values)
        low, high = limits
        if is_constant(limits):
            return torch.from_numpy(np.subtract(values > low, values < low, dtype=np.float32))
        if needs_float64(limits):
            shares = (np.clip(values, low, high, dtype=np.float64) - low) / (high - low)
            return torch.from_numpy((2 * shares - 1).astype(np.float32))
        x = torch.from_numpy(as_float32(values))
        return x.clamp_(low, high).sub_(low).mul_(2.0 / (high - low)).sub_(1.0)

    def count_outside(
        self, values: NDArray[Any], limits: tuple[float, float], missing: NDArray[np.bool_] | None = None
    ) -> int:
        """How many values that are not missing lie outside of ``limits``, and so are clipped."""
        there = values if missing is None else values[~missing]
        return int(np.count_nonzero(there < limits[0])) + int(np.count_nonzero(there > limits[1]))

    def denormalise(self, x: torch.Tensor, dtype: str, limits: tuple[float, float]) -> NDArray[Any]:
        """Inverse of :meth:`normalise`, rounded and clipped to the native dtype.

        Args:
            x: float ``[C, *S]``, nominally in [-1, 1]; what lies outside is clipped.
            dtype: NumPy name of the dtype to return.
            limits: as for :meth:`normalise`; those of :func:`constant_range` give that constant, exactly.
        """
        low, high = limits
        target = np.dtype(dtype)
        if is_constant(limits):
            return constant_values(tuple(x.shape), low, target)
        width = torch.float64 if needs_float64(limits) else torch.float32
        values = x.detach().to("cpu", width).clamp(-1.0, 1.0).add_(1.0).mul_((high - low) / 2.0).add_(low)
        if target.kind == "f":
            if target.itemsize < 4:
                values.clamp_(float(np.finfo(target).min), float(np.finfo(target).max))
            return values.numpy().astype(target)
        info = np.iinfo(target)
        # 64-bit limits are no float64; the next one inside is
        bottom, top = float(info.min), float(info.max) if target.itemsize < 8 else np.nextafter(float(info.max), 0)
        least, largest = max(bottom, float(math.ceil(low))), min(top, float(math.floor(high)))
        rounded: NDArray[Any] = np.clip(np.rint(values.double().numpy()), least, largest).astype(target)
        return rounded

    def stripped(self, signal: Signal) -> Signal:
        """The signal with no more metadata than what geometry, type and unit need when it is written.

        Raises:
            SpecError: the modality does not say which those are.
        """
        raise SpecError(
            f"--strip-metadata: expected a modality that says which metadata are geometry, got {self.spec.name!r}; "
            "give its class a method `stripped`, or leave the option out"
        )

    def cropped(self, signal: Signal, box: tuple[tuple[int, int], ...], extents: tuple[int, ...]) -> Signal:
        """A region of a signal with metadata that place it; those of the whole serve many formats.

        Args:
            signal: the values of the region, with the metadata of the whole.
            box: half-open ranges of the region's samples per axis, in the whole.
            extents: of the whole.

        Raises:
            FormatError: the format cannot say where a region lies.
        """
        return signal

    def scaled_axes(self, axes: tuple[str, ...]) -> tuple[bool, ...]:
        """Which axes get fewer samples where a signal is decoded at a scale: of several not those of time and bands."""
        return tuple(len(axes) == 1 or name not in UNSCALED for name in axes)

    def scaled(self, signal: Signal, factors: tuple[int, ...], origin: tuple[float, ...]) -> Signal:
        """A signal that was decoded at a scale, with spacing and metadata that place it.

        Args:
            signal: its values at the scale, all else as of full size.
            factors: full samples per sample along each axis.
            origin: where the first sample lies, in full samples from the first full one on.

        Raises:
            FormatError: the format cannot say where the samples lie.
        """
        return replace(signal, spacing=tuple(n * f for n, f in zip(signal.spacing, factors, strict=True)))

    def compare(self, original: Signal, reconstruction: Signal) -> dict[str, float]:
        """How close a reconstruction is; what is missing does not count. A modality adds its own measures.

        Returns:
            ``psnr_normalised`` in dB on the original's range (peak to peak 2); ``rmse``, ``p999_error`` (the 99.9th
            percentile of the absolute error) and ``max_error`` in the unit; ``clipped_share`` of values outside the
            range; from two axes on, and where nothing is missing, ``ssim``, ``ms_ssim`` and ``ms_ssim_scales``, how
            many of five scales the extents have room for.

        Raises:
            ShapeError: the shapes differ.
        """
        if original.values.shape != reconstruction.values.shape:
            raise ShapeError(
                f"--against: expected shape {reconstruction.values.shape}, got {original.values.shape}; take the file "
                "that was compressed"
            )
        limits = self.range_of(original)
        count = original.values.size - (0 if original.missing is None else int(np.count_nonzero(original.missing)))
        if count == 0:
            raise ShapeError("--against: expected values to compare, got none that were measured")
        clipped, high = 0, Percentile(count, 99.9)
        squares = normalised = largest = 0.0
        for one, two in self._measured(original, reconstruction):
            x, y = (self.normalise(values, limits) for values in (one, two))
            error = np.abs(one.astype(np.float64) - two)
            clipped += self.count_outside(one, limits)
            normalised += mean_squared_error(x, y) * one.size
            squares += float(np.square(error).sum())
            largest = max(largest, float(error.max()))
            high.add(error)
        mse = normalised / count
        report = {"psnr_normalised": 10 * math.log10(4 / mse) if mse else math.inf}
        if len(original.axes) > 1 and original.missing is None:
            alike = self._similarity(original, reconstruction, limits)
            report |= {"ssim": alike.ssim, "ms_ssim": alike.ms_ssim, "ms_ssim_scales": float(alike.scales)}
        report |= {"rmse": math.sqrt(squares / count), "p999_error": high.value, "max_error": largest}
        return report | {"clipped_share": clipped / count}

    def errors(self, original: Signal, reconstruction: Signal) -> dict[str, float]:
        """``psnr_normalised`` and ``rmse`` of :meth:`compare`, without the measures that take longer.

        Of no measurement at all the errors are 0.

        Args:
            original, reconstruction: of one shape.
        """
        limits, count, squares, normalised = self.range_of(original), 0, 0.0, 0.0
        for one, two in self._measured(original, reconstruction):
            x, y = (self.normalise(values, limits) for values in (one, two))
            count += one.size
            normalised += mean_squared_error(x, y) * one.size
            squares += float(np.square(one.astype(np.float64) - two).sum())
        psnr = 10 * math.log10(4 * count / normalised) if normalised else math.inf
        return {"psnr_normalised": psnr, "rmse": math.sqrt(squares / max(1, count))}

    @staticmethod
    def _measured(original: Signal, reconstruction: Signal) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Part by part the values of two signals where the first is not missing."""
        for part in parts(original.values, reconstruction.values):
            one, two = original.values[part], reconstruction.values[part]
            if original.missing is not None:
                one, two = (values[~original.missing[part]] for values in (one, two))
            if one.size:
                yield one, two

    def curves(self, original: Signal, reconstruction: Signal) -> dict[str, list[float]]:
        """Measures along an axis, by name: ``psnr_by_t`` in dB on the original's range. Empty where none is of use."""
        return {}

    def exhibits(self, signal: Signal, like: Signal) -> list[Exhibit]:
        """What to look at or listen to when judging ``signal``.

        Args:
            signal: the original or a reconstruction of it.
            like: the original; it alone decides what is shown and how it is scaled, so that exhibits can be compared.
        """
        return []

    def pace(self, signal: Signal) -> tuple[float, str]:
        """How much signal there is, in the unit that speeds in its field are stated in: 7.08 and ``Mvoxel``."""
        return signal.values.size / 1e6, "Msample"

    def _similarity(self, original: Signal, reconstruction: Signal, limits: tuple[float, float]) -> Similarity:
        def take(channel: int, part: slice) -> tuple[torch.Tensor, torch.Tensor]:
            one, two = (self.normalise(s.values[channel, part], limits) for s in (original, reconstruction))
            return one, two

        return similarity_by_slab(take, original.values.shape, 2.0)

    def check_finite(self, values: NDArray[Any], path: Path, missing: NDArray[np.bool_] | None = None) -> None:
        """Refuse NaN and infinity, but where values are ``missing``, naming how many there are and the first one."""
        if values.dtype.kind != "f":
            return
        count, firsts = 0, []
        for part in parts(values):
            bad = ~np.isfinite(values[part])
            if missing is not None:
                bad &= ~missing[part]
            if bad.any():
                corner = [along.start for along in part]
                firsts.append(tuple(int(i) + low for i, low in zip(np.argwhere(bad)[0], corner, strict=True)))
            count += int(bad.sum())
        if count:
            unit = f" in {self.spec.unit}" if self.spec.unit else ""
            raise FormatError(
                f"{path}: expected finite values{unit}, got {count} NaN or infinite, the first at "
                f"{min(firsts)}; replace them in the source"
            )


def check_folder(path: Path) -> None:
    """Refuse a path whose folder is not there."""
    if not path.absolute().parent.is_dir():
        raise FormatError(f"{path}: expected a folder to write into, got none at {str(path.parent)!r}; make it first")

"""Any array of real numbers, described in YAML: npy, npz, HDF5, Zarr, and the formats of other packages."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError, LiveactionError, LiveactionWarning, ShapeError, SpecError
from liveaction.files import atomic_path, write_errors
from liveaction.mapped import converted, parts
from liveaction.modalities.array.exhibits import array_exhibits
from liveaction.modalities.array.formats import Format, Step, check_dtype, find_format, formats
from liveaction.modalities.array.phantom import array_phantom
from liveaction.modalities.array.stored_order import ArrayOptions, StoredOrder
from liveaction.modalities.array.template import array_recipe, gather_facts
from liveaction.modalities.base import Modality
from liveaction.modalities.exhibit import Exhibit
from liveaction.modalities.find import find_files, leads_nowhere
from liveaction.modalities.no_data import find_value
from liveaction.modalities.options import parse_options
from liveaction.modalities.third_party import one_line
from liveaction.signal import Signal
from liveaction.spec import ModalitySpec


class Array(Modality):
    """Arrays ``[C, *S]`` of real numbers, the axes found by their names in ``options.order``.

    Metadata are plain JSON: ``dtype`` with its byte order, ``fortran``, ``format`` and what that format ``stored``.

    Raises:
        SpecError: the options contradict each other or the axes.
    """

    def __init__(self, spec: ModalitySpec) -> None:
        super().__init__(spec)
        self.options = parse_options(ArrayOptions, spec.options)
        self.stored_order = StoredOrder(spec, self.options)

    @classmethod
    def recipe_text(cls, name: str, data: Path | None = None, key: str | None = None) -> str:
        """A commented recipe; axes, channels, dtype, range and levels from ``data``, or its first array.

        Raises:
            FormatError: ``data`` holds no array that can be read, or several and no ``key``.
        """
        if data is None:
            return array_recipe(name, None)
        path = find_arrays(data)[0]
        kind, form = _format(path)
        array, stored = _read(path, kind, form, key)
        check_dtype(path, array.dtype)
        if 0 in array.shape or array.ndim == 0:
            raise FormatError(f"{path}: expected at least one sample per axis, got shape {array.shape}")
        return array_recipe(name, gather_facts(path, array, stored, key))

    def find(self, path: Path) -> list[Path]:
        """Arrays under ``path``, see :func:`find_files`; a folder that a format takes, such as a Zarr store, is one.

        Raises:
            FormatError: nothing is there, or nothing that an installed format reads.
        """
        return find_arrays(path)

    def read(self, path: Path) -> Signal:
        """Read one array; npy files are mapped, not copied.

        Returns:
            ``[C, *S]`` in native byte order; missing where ``options.no_data`` stands.

        Raises:
            FormatError: not such a file, damaged, of other axes, channels or dtype, or NaN or infinity inside.
        """
        name, form = _format(path)
        if not form.holds(path):
            self.find(path)
            raise FormatError(f"{path}: expected a {name} item, got neither a file nor a store of it")
        array, stored = _read(path, name, form, self.options.key)
        check_dtype(path, array.dtype)
        if self.options.dtype not in (None, array.dtype.name):
            raise FormatError(
                f"{path}: expected {self.options.dtype} as modality.options.dtype says, got {array.dtype.name}; change "
                "the recipe or convert the file"
            )
        metadata = {
            "dtype": array.dtype.str,
            "fortran": bool(array.flags.f_contiguous and not array.flags.c_contiguous),
            "format": name,
            "stored": stored,
        }
        values, native = self.stored_order.channels_first(array, path), array.dtype.newbyteorder("=")
        values = values if values.dtype == native else converted(values, native)
        missing, no_data = self._missing(values, path)
        self._check(values, missing, path)
        spacing = self.options.spacing or (1.0,) * len(self.spec.axes)
        about = metadata, 0, missing, no_data
        return Signal(values, self.spec.axes, self.spec.unit, spacing, array.dtype.name, *about)

    def check_target(self, signal: Signal, path: Path) -> list[Path]:
        """Refuse a suffix without a format, a folder that is no store, and other axes or channels than the recipe's."""
        name, form = _format(path)
        if path.is_dir() and not form.holds(path):
            raise FormatError(f"{path}: expected a new name or a {name} store to replace, got a folder of other files")
        if signal.values.ndim != len(self.spec.axes) + 1 or not self.spec.takes(signal.values.shape[0]):
            raise ShapeError(f"{path}: expected values {self.spec.values}, got {signal.values.shape}")
        _stored_dtype(signal, path)
        return super().check_target(signal, path)

    def write(self, signal: Signal, path: Path) -> None:
        """Write in the axes, dtype, byte and memory order of the source, with what its format keeps; atomic.

        Values of any real dtype are rounded and clipped to what the source's holds. A measured value that would read as
        ``options.no_data`` moves by the least step there is.

        Raises:
            FormatError: no format for this suffix, no such folder, a folder that is no store, or NaN or infinity.
            ShapeError: other axes or channels than the recipe's.
        """
        self.check_target(signal, path)
        name, form = _format(path)
        self._check(signal.values, signal.missing, path)
        dtype = _stored_dtype(signal, path)
        values = self._apart_from_no_data(_rounded(signal.values, dtype, signal.missing), signal.missing)
        array = self.stored_order.as_stored(values)
        fortran = bool(signal.metadata.get("fortran"))
        if not (array.flags.f_contiguous if fortran else array.flags.c_contiguous):
            array = converted(array, array.dtype, fortran=fortran)
        with atomic_path(path) as part:
            try:
                with write_errors(path):
                    form.write(part, array, self._kept(signal.metadata, name, path))
            except LiveactionError:
                raise
            except Exception as error:  # a format raises what it likes
                raise FormatError(f"{path}: expected to write it as {name}, got {one_line(error)}") from error

    def parts(self, path: Path) -> list[Path]:
        """Files that an item consists of, those of other files that it takes values from among them."""
        return _format(path)[1].parts(path)

    def cropped(self, signal: Signal, box: tuple[tuple[int, int], ...], extents: tuple[int, ...]) -> Signal:
        """A region with what its format stored as it holds for it: scales of axes, places of OME-Zarr."""
        stored, form = signal.metadata.get("stored"), formats().get(signal.metadata.get("format", ""))
        if not isinstance(stored, dict) or form is None:
            return signal
        kept = form.cropped(stored, self.stored_order.stored_box(box))
        return replace(signal, metadata={**signal.metadata, "stored": kept})

    def scaled(self, signal: Signal, factors: tuple[int, ...], origin: tuple[float, ...]) -> Signal:
        """Fewer samples, with what its format stored as it holds for them: scales of axes, places of OME-Zarr."""
        signal = super().scaled(signal, factors, origin)
        stored, form = signal.metadata.get("stored"), formats().get(signal.metadata.get("format", ""))
        if not isinstance(stored, dict) or form is None:
            return signal
        each = dict(zip(self.spec.axes, zip(factors, origin, signal.shape, strict=True), strict=True))
        steps = [Step(*each[name]) if name in each else None for name in self.stored_order.order]
        return replace(signal, metadata={**signal.metadata, "stored": form.scaled(stored, steps)})

    def stripped(self, signal: Signal) -> Signal:
        """The signal with axes, dtype, memory order and what :meth:`Format.stripped` leaves."""
        metadata, found = dict(signal.metadata), formats().get(signal.metadata.get("format", ""))
        if "stored" in metadata:
            metadata["stored"] = {} if found is None else found.stripped(metadata["stored"])
        return replace(signal, metadata=metadata)

    def native_range(self, signal: Signal) -> tuple[float, float]:
        """As :meth:`Modality.native_range`, for integers of at most 32 bits.

        Raises:
            SpecError: wider integers, which the codec's float32 cannot tell apart, and floating-point numbers.
        """
        if np.dtype(signal.dtype).itemsize == 8:
            raise SpecError(
                f"[modality] range: expected [low, high] or percentiles for {signal.dtype} values, got 'native'; say "
                "which values occur"
            )
        return super().native_range(signal)

    def synthetic(self, seed: int, extents: tuple[int, ...] | None = None) -> Signal:
        """Smooth random fields with edges in the recipe's channels, axes, range and dtype (:func:`array_phantom`)."""
        dtype = self.options.dtype or "float32"
        values, missing = array_phantom(seed, self.spec, dtype, extents, self.options.no_data)
        no_data = 0.0 if missing is None else float(self.options.no_data or 0)
        spacing = self.options.spacing or (1.0,) * len(self.spec.axes)
        about = {"source": "synthetic", "seed": seed}, 0, missing, no_data
        values = self._apart_from_no_data(values, missing)
        return Signal(values, self.spec.axes, self.spec.unit, spacing, dtype, *about)

    def exhibits(self, signal: Signal, like: Signal) -> list[Exhibit]:
        """A middle plane, or of one axis the waveform, see :func:`array_exhibits`."""
        return array_exhibits(signal, like)

    def _missing(self, values: NDArray[Any], path: Path) -> tuple[NDArray[np.bool_] | None, float]:
        no_data = self.options.no_data
        if no_data is None:
            return None, 0.0
        number = float(no_data)
        return find_value(values, number, path), number

    def _check(self, values: NDArray[Any], missing: NDArray[np.bool_] | None, path: Path) -> None:
        """Refuse NaN and infinity where something was measured."""
        if values.dtype.kind != "f":
            return
        try:
            self.check_finite(values, path, missing)
        except FormatError as error:
            if self.options.no_data is not None:
                way = f", with {self.options.no_data} for instance, as no_data says"
            elif any(np.isinf(values[part]).any() for part in parts(values)):
                way = ", with NaN for instance, and say no_data: nan in modality.options"
            else:
                way = ", or say no_data: nan in modality.options"
            raise FormatError(f"{error}{way}") from error

    def _apart_from_no_data(self, values: NDArray[Any], missing: NDArray[np.bool_] | None) -> NDArray[Any]:
        """Measured values that equal ``no_data`` moved by one step, or they would read as missing."""
        no_data = self.options.no_data
        if no_data is None or no_data == "nan":
            return values
        mark = values.dtype.type(no_data)
        alike = values == mark if missing is None else (values == mark) & ~missing
        if alike.any():
            values = converted(values, values.dtype)
            if values.dtype.kind == "f":
                values[alike] = np.nextafter(mark, values.dtype.type(np.inf))
            else:
                values[alike] = mark - 1 if mark == np.iinfo(values.dtype).max else mark + 1
        return values

    def _kept(self, metadata: dict[str, Any], name: str, path: Path) -> dict[str, Any]:
        """What the source's format stored; warns of what the target cannot or does not hold."""
        stored: dict[str, Any] = metadata.get("stored", {})
        if not isinstance(stored, dict):
            raise FormatError(f"{path}: expected metadata with a table 'stored', got {type(stored).__name__}")
        lost = [f"the array {other}" for other in stored.get("others", ())] + list(stored.get("lost", ()))
        source = metadata.get("format", name)
        if source != name and stored:
            lost.append(f"attributes and storage of its {source} source")
        if lost:
            warnings.warn(f"{path}: written without {', '.join(lost)}", LiveactionWarning, stacklevel=4)
        if source == name and stored:
            return stored
        return {} if self.options.key is None else {"key": self.options.key}


def find_arrays(path: Path) -> list[Path]:
    """What :meth:`Array.find` gives."""
    return find_files(path, _wanted(), _is_item, _is_item, search_items=False)


def _wanted() -> str:
    return f"an array ({', '.join(sorted(s for form in formats().values() for s in form.suffixes))})"


def _is_item(path: Path) -> bool:
    found = find_format(path)
    return found is not None and (found[1].holds(path) or leads_nowhere(path))


def _format(path: Path) -> tuple[str, Format]:
    found = find_format(path)
    if found is None:
        raise FormatError(f"{path}: expected {_wanted()}, got a file named {path.name!r}; convert it")
    return found


def _read(path: Path, name: str, form: Format, key: str | None) -> tuple[NDArray[Any], dict[str, Any]]:
    try:
        return form.read(path, key)
    except LiveactionError:
        raise
    except Exception as error:  # a format raises what it likes
        raise FormatError(f"{path}: expected a whole {name} file of real numbers, got {one_line(error)}") from error


def _stored_dtype(signal: Signal, path: Path) -> np.dtype[Any]:
    """What the source held, with its byte order."""
    name = signal.metadata.get("dtype", signal.dtype)
    try:
        if not isinstance(name, str):
            raise TypeError(name)
        dtype = np.dtype(name)
    except (TypeError, ValueError) as error:
        raise FormatError(f"{path}: expected metadata with a dtype, got {str(name)[:80]!r}") from error
    check_dtype(path, dtype)
    return dtype


def _rounded(values: NDArray[Any], dtype: np.dtype[Any], missing: NDArray[np.bool_] | None) -> NDArray[Any]:
    """``values`` as ``dtype``; what becomes an integer is rounded and clipped."""
    if values.dtype == dtype:
        return values
    if dtype.kind == "f":
        return converted(values, dtype)
    info = np.iinfo(dtype)

    def whole(part: NDArray[Any]) -> NDArray[Any]:
        wide = part.astype(np.float64)
        if missing is not None:
            wide[np.isnan(wide)] = 0
        return np.clip(np.rint(wide), info.min, info.max)

    return converted(values, dtype, whole)

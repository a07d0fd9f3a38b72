"""Hyperspectral images: ENVI, MATLAB, .npy and GeoTIFF, with bands as an axis or as channels."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator

from liveaction.errors import FormatError, LiveactionWarning, ShapeError, SpecError
from liveaction.mapped import converted
from liveaction.metrics import psnr_along, spectral_angle
from liveaction.modalities.base import Modality, check_folder
from liveaction.modalities.exhibit import Exhibit
from liveaction.modalities.exhibit_pixels import check_alike
from liveaction.modalities.find import find_files, leads_nowhere
from liveaction.modalities.hyperspectral import arrays, envi, geotiff
from liveaction.modalities.hyperspectral.cube import AXES, Bands, Cube, contiguous, find_missing
from liveaction.modalities.hyperspectral.exhibits import cube_exhibits
from liveaction.modalities.hyperspectral.phantom import hyperspectral_phantom
from liveaction.modalities.hyperspectral.preview import Panel, draw_preview
from liveaction.modalities.options import Options, parse_options
from liveaction.signal import Signal
from liveaction.spec import ModalitySpec

_BY_BAND = ("wavelengths", "bad_bands")  # metadata of phantoms
_BANDS = 32  # of a phantom where any number is taken: the least with bands that are marked bad
_WANTED = "an ENVI header (.hdr) or its raw file, a .mat, .npy or .tif file, or a folder that holds such"
_KINDS = (
    {".mat": "mat", ".npy": "npy"} | dict.fromkeys(geotiff.SUFFIXES, "geotiff") | dict.fromkeys(envi.SUFFIXES, "envi")
)


class HyperspectralOptions(Options):
    """``[modality.options]``.

    ``key`` names the array of a MATLAB file with several; ``order`` the axes of the arrays in ``.mat`` and ``.npy``
    files; ``no_data`` what stands where nothing was measured, also where the file says otherwise.
    """

    key: str = ""
    order: tuple[str, ...] = ("y", "x", "band")
    no_data: Annotated[float, Field(allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _all_axes(self) -> Self:
        if sorted(self.order) != sorted(AXES):
            raise ValueError("expected y, x and band in the order of the file")
        return self


class Hyperspectral(Modality):
    """Images as they are stored (DN): radiance, scaled reflectance or counts, ``[1, *S]`` or ``[bands, *S]``.

    The recipe's axes decide: band, y and x in any order with one channel, or y and x with a channel per band, as many
    as the recipe says, or with ``channels: 0`` as many as each file has. Where nothing was measured (no data, NaN)
    values are missing: left out of everything, and restored exactly. Bands marked bad in a header that do hold values
    are coded with the others, but are left out of the range and of ``compare``.

    Raises:
        SpecError: other axes or channels, or options that are not known.
    """

    def __init__(self, spec: ModalitySpec) -> None:
        super().__init__(spec)
        self.options = parse_options(HyperspectralOptions, spec.options)
        axes = sorted(spec.axes)
        if axes != ["x", "y"] and (axes != ["band", "x", "y"] or spec.channels != 1):
            raise SpecError(
                "[modality] hyperspectral: expected axes band, y, x with 1 channel, or y, x with as many channels as "
                f"bands or 0 for any number, got axes {spec.axes!r} and channels {spec.channels}"
            )

    def find(self, path: Path) -> list[Path]:
        """Images under ``path``, see :func:`find_files`; an ENVI image in a folder is its header.

        Raises:
            FormatError: nothing is there, the folder is empty, or nothing in it is an image.
        """
        if path.is_file() and _kind(path) == "envi":
            return [path]
        return find_files(path, _WANTED, _is_image)

    def parts(self, path: Path) -> list[Path]:
        """The file, and of an ENVI image its header and its raw file."""
        if _kind(path) != "envi":
            return [path]
        return list(envi.pair_of(path))

    def read(self, path: Path) -> Signal:
        """Read one image in the file's own data type.

        Returns:
            ``[1, *S]`` or ``[bands, *S]``, spacing 1 per axis: wavelengths and geometry are in the metadata.

        Raises:
            FormatError: not such a file, damaged, infinite, or another number of bands than the recipe's channels.
            MissingDependencyError: a GeoTIFF without rasterio.
        """
        self.find(path)
        if path.is_dir():
            raise FormatError(f"{path}: expected one image, got a folder; name a file in it")
        kind, order = _kind(path), self.options.order
        if kind == "mat":
            cube = arrays.read_mat(path, order, self.options.key)
        elif kind == "npy":
            cube = arrays.read_npy(path, order)
        else:
            cube = geotiff.read_geotiff(path) if kind == "geotiff" else envi.read_envi(path)
        if "band" not in self.spec.axes and not self.spec.takes(len(cube.values)):
            raise FormatError(
                f"{path}: expected {self.spec.channels} bands as the recipe has channels, got {len(cube.values)}; set "
                f"modality.channels to {len(cube.values)} and train, or take a recipe with bands as an axis"
            )
        return self._signal(cube, path)

    def check_target(self, signal: Signal, path: Path) -> list[Path]:
        """Refuse another format than the source's; of ENVI both files are written."""
        kind = _kind_to_write(signal, path)
        if kind == "geotiff":
            geotiff.require_rasterio(path)
        check_folder(path)
        return list(envi.envi_pair(signal.metadata, path)) if kind == "envi" else [path]

    def write(self, signal: Signal, path: Path) -> None:
        """Write the source's format with its metadata, data type, interleave and byte order; atomic.

        Values of any real dtype are taken, rounded and clipped to the source's. A measured value that came out as the
        no-data value is written one step beside it.

        Args:
            signal: with the metadata of :meth:`read` or :meth:`synthetic`; phantoms are written in any format.
            path: with a suffix of the source's format.

        Raises:
            FormatError: another format, no such folder, NaN or infinity where something was measured.
            ShapeError: not the shape that the metadata describe.
        """
        self.check_target(signal, path)
        kind = _kind_to_write(signal, path)
        values = self._settled(signal, path)
        cube = Cube(self._bands_first(values), signal.metadata, signal.metadata.get("no_data"))
        if kind == "envi":
            envi.write_envi(cube, path)
        elif kind == "geotiff":
            geotiff.write_geotiff(cube, path)
        else:
            self._write_array(signal, cube, kind, path)

    def synthetic(self, seed: int, extents: tuple[int, ...] | None = None) -> Signal:
        """A seeded scene of 96 x 96 pixels, see :func:`hyperspectral_phantom`.

        It has 96 bands, or as channels those of the recipe, 32 where it takes any number.
        """
        bands = 96 if "band" in self.spec.axes else self.spec.channels or _BANDS
        sizes = {"band": bands, "y": 96, "x": 96}
        sizes |= dict(zip(self.spec.axes, extents or (), strict=False))
        scene = hyperspectral_phantom(seed, (sizes["band"], sizes["y"], sizes["x"]))
        metadata = {"source": "synthetic", "seed": seed, "wavelengths": scene.wavelengths, "bad_bands": scene.bad_bands}
        return self._signal(Cube(scene.values, metadata, scene.no_data), Path(f"phantom {seed}"))

    def cropped(self, signal: Signal, box: tuple[tuple[int, int], ...], extents: tuple[int, ...]) -> Signal:
        """A region in the source's format with all metadata that still hold: place moved, lists by band cut."""
        if all(ends == (0, extent) for ends, extent in zip(box, extents, strict=True)):
            return signal
        ranges = {"band": (0, len(signal.values)), **dict(zip(self.spec.axes, box, strict=True))}
        part, source = (ranges["band"], ranges["y"], ranges["x"]), signal.metadata.get("source")
        if source == "envi":
            return replace(signal, metadata=envi.crop_envi(signal.metadata, part, Path("region")))
        if source == "geotiff":
            return replace(signal, metadata=geotiff.crop_geotiff(signal.metadata, part, Path("region")))
        by_band = {name: signal.metadata[name][slice(*part[0])] for name in _BY_BAND if name in signal.metadata}
        return replace(signal, metadata={**signal.metadata, **by_band})

    def scaled(self, signal: Signal, factors: tuple[int, ...], origin: tuple[float, ...]) -> Signal:
        """Fewer lines and samples in the source's format, each larger; bands stay."""
        signal = super().scaled(signal, factors, origin)
        along = {name: (f, o) for name, f, o in zip(self.spec.axes, factors, origin, strict=True)}
        (fy, top), (fx, left) = along["y"], along["x"]
        corner, source = (top + 0.5 - fy / 2, left + 0.5 - fx / 2), signal.metadata.get("source")
        if source == "envi":
            sizes = dict(zip(self.spec.axes, signal.shape, strict=True))
            scaled = envi.scale_envi(signal.metadata, (fy, fx), corner, (sizes["y"], sizes["x"]))
            return replace(signal, metadata=scaled)
        if source == "geotiff":
            return replace(signal, metadata=geotiff.scale_geotiff(signal.metadata, (fy, fx), corner, Path("scale")))
        return signal

    def stripped(self, signal: Signal) -> Signal:
        """The signal with place, type, scale, wavelengths and bad bands; no descriptions and other texts."""
        strip = {"envi": envi.strip_envi, "geotiff": geotiff.strip_geotiff}.get(signal.metadata.get("source", ""))
        metadata = {name: value for name, value in signal.metadata.items() if name != "left_out"}
        return replace(signal, metadata=metadata if strip is None else strip(metadata, Path("metadata")))

    def range_of(self, signal: Signal) -> tuple[float, float]:
        """As everywhere, of the bands that are not marked bad."""
        return super().range_of(self._judged(signal))

    def compare(self, original: Signal, reconstruction: Signal) -> dict[str, float]:
        """As everywhere, and ``spectral_angle_degrees``, over what was measured in bands that are not marked bad."""
        judged = self._judged(original)
        report = super().compare(judged, reconstruction)
        known = None if judged.missing is None else torch.from_numpy(~self._bands_first(judged.missing))
        x, y = (torch.from_numpy(self._bands_first(signal.values)) for signal in (original, reconstruction))
        angle = spectral_angle(x, y, known)
        return report if np.isnan(angle) else {**report, "spectral_angle_degrees": angle}

    def errors(self, original: Signal, reconstruction: Signal) -> dict[str, float]:
        """As everywhere, over what was measured in bands that are not marked bad."""
        return super().errors(self._judged(original), reconstruction)

    def curves(self, original: Signal, reconstruction: Signal) -> dict[str, list[float]]:
        """``psnr_by_band`` in dB on the original's range, of what was measured; NaN for bands that are marked bad."""
        judged, axis = self._judged(original), 1 + self.spec.axes.index("band") if "band" in self.spec.axes else 0
        limits = self.range_of(original)
        return {"psnr_by_band": psnr_along(original.values, reconstruction.values, limits, axis, judged.missing)}

    def preview(self, original: Signal | None, reconstruction: Signal, path: Path, title: str = "") -> None:
        """Draw false-colour pictures, the error, and spectra of four pixels, as PNG.

        Raises:
            ShapeError: the two shapes differ.
        """
        if original is not None and original.values.shape != reconstruction.values.shape:
            raise ShapeError(
                f"preview: expected a reconstruction of shape {original.values.shape}, got "
                f"{reconstruction.values.shape}"
            )
        panel, shown = self._panel(original, reconstruction)
        draw_preview(panel, self._bands(shown).wavelengths, shown.unit, path, title or "hyperspectral")

    def exhibits(self, signal: Signal, like: Signal) -> list[Exhibit]:
        """False colours of three bands, and one band by itself, see :func:`cube_exhibits`."""
        check_alike(signal, like)
        panel, shown = self._panel(like, signal)
        return cube_exhibits(panel, self._bands(shown).wavelengths)

    def _panel(self, original: Signal | None, reconstruction: Signal) -> tuple[Panel, Signal]:
        """What is shown, bands marked bad counted as missing, and the signal that says so."""
        shown = self._judged(reconstruction if original is None else original)
        missing = np.zeros(shown.values.shape, bool) if shown.missing is None else shown.missing
        before = None if original is None else self._bands_first(original.values)
        return Panel(before, self._bands_first(reconstruction.values), self._bands_first(missing)), shown

    def _signal(self, cube: Cube, path: Path) -> Signal:
        """The layout of the recipe, with what is missing found."""
        no_data = self.options.no_data if self.options.no_data is not None else cube.no_data
        no_data = None if no_data is not None and not np.isfinite(no_data) else no_data
        missing, stands = find_missing(cube.values, no_data, path)
        if cube.values.dtype.kind == "f":
            self.check_finite(cube.values, path, missing)
        metadata = cube.metadata if no_data is None else {**cube.metadata, "no_data": no_data}
        values, lost = (None if array is None else self._laid_out(array) for array in (cube.values, missing))
        assert values is not None
        about = (1.0,) * len(self.spec.axes), values.dtype.name, metadata, 0, lost, stands
        return Signal(values, self.spec.axes, self.spec.unit, *about)

    def _laid_out(self, array: NDArray[Any]) -> NDArray[Any]:
        """``[band, y, x]`` to ``[C, *S]``."""
        if "band" in self.spec.axes:
            return contiguous(array.transpose([AXES.index(axis) for axis in self.spec.axes])[np.newaxis])
        return contiguous(array if self.spec.axes == ("y", "x") else array.transpose(0, 2, 1))

    def _bands_first(self, array: NDArray[Any]) -> NDArray[Any]:
        """``[C, *S]`` to ``[band, y, x]``, contiguous."""
        if array.ndim != len(self.spec.axes) + 1 or not self.spec.takes(array.shape[0]):
            raise ShapeError(f"expected values {self.spec.values}, got {array.shape}")
        if "band" in self.spec.axes:
            return contiguous(array[0].transpose([self.spec.axes.index(axis) for axis in AXES]))
        return contiguous(array if self.spec.axes == ("y", "x") else array.transpose(0, 2, 1))

    def _bands(self, signal: Signal) -> Bands:
        """What the metadata say of the bands."""
        about = signal.metadata
        if about.get("source") == "envi":
            return envi.describe_envi(about, Path("metadata"))
        if about.get("source") == "geotiff":
            return geotiff.describe_geotiff(about, Path("metadata"))
        wavelengths, bad = about.get("wavelengths"), np.array(about.get("bad_bands") or [False], dtype=bool)
        return Bands(None if not wavelengths else np.array(wavelengths), bad if bad.any() else None)

    def _judged(self, signal: Signal) -> Signal:
        """The signal with bands marked bad counted as missing, unless all are."""
        bad = self._bands(signal).bad
        if bad is None or bad.all():
            return signal
        lost = np.broadcast_to(self._laid_out(bad.reshape(-1, 1, 1)), signal.values.shape)
        return replace(signal, missing=lost.copy() if signal.missing is None else lost | signal.missing)

    def _settled(self, signal: Signal, path: Path) -> NDArray[Any]:
        """Values in the source's dtype: finite, rounded, clipped, none by accident the no-data value."""
        missing = np.zeros(signal.values.shape, bool) if signal.missing is None else signal.missing
        if signal.values.dtype.kind == "f":
            self.check_finite(signal.values, path, missing)
        dtype, values = np.dtype(signal.dtype), signal.values
        if values.dtype != dtype and dtype.kind != "f":
            limits = np.iinfo(dtype)
            values = np.where(missing, signal.no_data, np.rint(values.astype(np.float64)).clip(limits.min, limits.max))
        values = converted(values, dtype)
        no_data = signal.metadata.get("no_data")
        clash = np.zeros(0, bool) if no_data is None else (values == no_data) & ~missing
        if clash.any():
            at = np.array(no_data, dtype)
            info = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
            up = at < info.max
            step = np.nextafter(at, at.dtype.type(info.max)) if dtype.kind == "f" else at + dtype.type(1)
            values[clash] = step if up else at - dtype.type(1)
        return values

    def _write_array(self, signal: Signal, cube: Cube, kind: str, path: Path) -> None:
        """``.mat`` or ``.npy``, which cannot say what stands for no data."""
        gone = signal.missing is not None and bool(signal.missing.any()) and not np.isnan(signal.no_data)
        if gone and self.options.no_data is None:
            warnings.warn(
                f"{path}: cannot say that {signal.no_data:g} is no data; read it with [modality.options] no_data",
                LiveactionWarning,
                stacklevel=4,
            )
        if kind == "mat":
            arrays.write_mat(cube, path, self.options.order, self.options.key)
        else:
            arrays.write_npy(cube, path, self.options.order)


def _is_image(path: Path) -> bool:
    """Whether a file stands for an image; a raw file of ENVI does not, its header does."""
    known = _KINDS.get(path.suffix.lower()) not in (None, "envi") or envi.is_envi_header(path)
    return known or (path.suffix.lower() == ".hdr" and leads_nowhere(path))


def _kind_to_write(signal: Signal, path: Path) -> str:
    """Which writer takes a file: the source's, any for a phantom."""
    kind = _KINDS.get(path.suffix.lower(), "envi" if not path.suffix else None)
    source = signal.metadata.get("source")
    if kind is None or source not in (kind, "synthetic"):
        wanted = [suffix for suffix, kind in _KINDS.items() if source in (kind, "synthetic")]
        raise FormatError(
            f"{path}: expected a name ending in {', '.join(wanted)} as its source was, got {path.name!r}; rename it"
        )
    return kind


def _kind(path: Path) -> str | None:
    """Which reader takes a file."""
    kind = _KINDS.get(path.suffix.lower())
    return "envi" if kind is None and path.is_file() and envi.header_of(path) else kind

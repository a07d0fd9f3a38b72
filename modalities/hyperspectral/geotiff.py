"""GeoTIFF through rasterio (GDAL), with georeferencing, band descriptions, no data and tags."""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from liveaction.errors import (
    FormatError,
    LiveactionError,
    LiveactionWarning,
    MissingDependencyError,
    ShapeError,
)
from liveaction.files import atomic_path
from liveaction.modalities.hyperspectral.cube import (
    Bands,
    Cube,
    check_dtype,
    nanometres,
    pack_bytes,
    unpack_bytes,
)
from liveaction.modalities.third_party import one_line

SUFFIXES = (".tif", ".tiff")
_LAYOUT = ("interleave", "compress", "tiled", "blockxsize", "blockysize", "photometric")


def require_rasterio(path: Path) -> None:
    """Raise MissingDependencyError, which names ``path``, where the package is not there."""
    with _rasterio(path, "written"):
        pass


@contextmanager
def _rasterio(path: Path, doing: str) -> Iterator[Any]:
    """The package, quiet, writing no side files; its errors as one line."""
    try:
        import rasterio
        from rasterio.errors import RasterioError
    except ImportError as error:
        raise MissingDependencyError(
            f"{path}: expected the package rasterio for GeoTIFF, got none; pip install '.[geo]' in a clone of this "
            "repository"
        ) from error
    try:
        with warnings.catch_warnings(), rasterio.Env(GDAL_PAM_ENABLED=doing == "read"):
            warnings.simplefilter("ignore")
            yield rasterio
    except (RasterioError, OSError, ValueError, TypeError, MemoryError) as error:
        if isinstance(error, LiveactionError):
            raise
        raise FormatError(f"{path}: expected a GeoTIFF that can be {doing}, got {one_line(error)}") from error


def read_geotiff(path: Path) -> Cube:
    """Read all bands.

    Returns:
        The image; metadata hold, as one packed text, transform, CRS, no data, descriptions, tags, scales, offsets,
        units, colour interpretation and layout of the file. What a GeoTIFF may hold beside (masks, ground control
        points, rational polynomials, overviews, further images) is not kept, of which all but overviews warns.

    Raises:
        FormatError: the file is damaged, complex, or no GeoTIFF.
        MissingDependencyError: rasterio is not installed.
    """
    if not path.is_file():
        raise FormatError(f"{path}: expected a GeoTIFF file, got no such file; check the spelling")
    with _rasterio(path, "read") as rasterio, rasterio.open(path, driver="GTiff") as image:
        check_dtype(np.dtype(image.dtypes[0]) if "complex" not in image.dtypes[0] else np.dtype("c16"), path)
        if len(set(image.dtypes)) > 1:
            raise FormatError(
                f"{path}: expected one data type for all bands, got {', '.join(sorted(set(image.dtypes)))}"
            )
        values = np.ascontiguousarray(image.read())
        about, lost = _describe(image), _not_kept(image)
    if lost:
        warnings.warn(f"{path}: {', '.join(lost)} will not be written back", LiveactionWarning, stacklevel=3)
    metadata = {"source": "geotiff", "about": pack_bytes(json.dumps(about).encode())}
    return Cube(values, metadata, None if about["nodata"] is None else float(about["nodata"]))


def describe_geotiff(metadata: dict[str, Any], path: Path) -> Bands:
    """Wavelengths of the image in ``metadata``: GDAL's ``CENTRAL_WAVELENGTH_UM``, or tags ``wavelength`` per band."""
    about = _unpacked(metadata, path)
    wavelengths = _wavelengths(about.get("band_tags") or [{}], about.get("imagery_tags") or [{}])
    return Bands(None if wavelengths is None else np.array(wavelengths))


def write_geotiff(cube: Cube, path: Path) -> None:
    """Write a GeoTIFF with the source's georeferencing, descriptions, tags, type and layout; atomic.

    Raises:
        FormatError: GDAL refuses.
        ShapeError: another number of bands than the metadata describe.
        MissingDependencyError: rasterio is not installed.
    """
    about = _unpacked(cube.metadata, path) if cube.metadata.get("source") == "geotiff" else _phantom(cube)
    count, height, width = cube.values.shape
    if len(about["descriptions"]) != count:
        raise ShapeError(f"{path}: expected {len(about['descriptions'])} bands as the metadata say, got {count}")
    with _rasterio(path, "written") as rasterio, atomic_path(path) as part:
        layout = {key: value for key, value in about["layout"].items() if key in _LAYOUT}
        profile = {**layout, "driver": "GTiff", "dtype": cube.values.dtype.name, "count": count}
        profile |= {"height": height, "width": width, "BIGTIFF": "IF_SAFER"}
        nodata = about["nodata"]
        profile["nodata"] = None if nodata is None else _scalar(nodata, cube.values.dtype)
        profile["crs"] = None if about["crs"] is None else rasterio.crs.CRS.from_wkt(about["crs"])
        profile["transform"] = None if about["transform"] is None else rasterio.Affine(*about["transform"])
        with rasterio.open(part, "w", **profile) as image:
            image.write(cube.values)
            _tell(image, about, rasterio)


def _describe(image: Any) -> dict[str, Any]:
    """JSON of all that :func:`write_geotiff` writes."""
    identity = image.transform.is_identity
    about: dict[str, Any] = {
        "crs": None if image.crs is None else image.crs.to_wkt(),
        "transform": None if identity else list(image.transform)[:6],
        "nodata": None if image.nodata is None else str(image.nodata),
        "descriptions": list(image.descriptions),
        "tags": image.tags(),
        "scales": list(image.scales),
        "offsets": list(image.offsets),
        "units": list(image.units),
        "colours": [colour.name for colour in image.colorinterp],
        "layout": {key: image.profile[key] for key in _LAYOUT if key in image.profile},
    }
    bands = {"band_tags": [image.tags(i) for i in image.indexes]}
    bands["imagery_tags"] = [image.tags(i, ns="IMAGERY") for i in image.indexes]
    return about | {name: tags for name, tags in bands.items() if any(tags)}


def _unpacked(metadata: dict[str, Any], path: Path) -> dict[str, Any]:
    text = unpack_bytes(metadata.get("about"), path)
    try:
        about: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise FormatError(f"{path}: expected metadata of a GeoTIFF, got {one_line(error)}") from error
    if not isinstance(about, dict):
        raise FormatError(f"{path}: expected metadata of a GeoTIFF, got {type(about).__name__}")
    return about


def _wavelengths(band_tags: list[dict[str, str]], imagery_tags: list[dict[str, str]]) -> list[float] | None:
    """In nm, where every band has one."""
    tags = [{key.lower(): value for key, value in each.items()} for each in band_tags]
    try:
        if all("CENTRAL_WAVELENGTH_UM" in each for each in imagery_tags):
            return [1e3 * float(each["CENTRAL_WAVELENGTH_UM"]) for each in imagery_tags]
        if all("wavelength" in each for each in tags):
            unit = tags[0].get("wavelength_units", tags[0].get("wavelength_unit", ""))
            return nanometres([float(each["wavelength"]) for each in tags], unit)
    except ValueError:
        return None  # words where numbers were looked for: the tags are kept, only the picture lacks them
    return None


def _not_kept(image: Any) -> list[str]:
    """What of an image this module does not write."""
    from rasterio.enums import MaskFlags

    masked = any(flag is MaskFlags.per_dataset for flags in image.mask_flag_enums for flag in flags)
    return [
        name
        for name, there in {
            "a mask": masked,
            "ground control points": bool(image.gcps[0]),
            "rational polynomial coefficients": image.rpcs is not None,
            "further images": bool(image.subdatasets),
        }.items()
        if there
    ]


def _tell(image: Any, about: dict[str, Any], rasterio: Any) -> None:
    """Descriptions, tags, scales, offsets, units, colour interpretation."""
    image.update_tags(**{key: value for key, value in about["tags"].items() if key != "AREA_OR_POINT"})
    if "AREA_OR_POINT" in about["tags"]:
        image.update_tags(AREA_OR_POINT=about["tags"]["AREA_OR_POINT"])
    for i, text in enumerate(about["descriptions"], 1):
        if text:
            image.set_band_description(i, text)
    for name, space in (("band_tags", None), ("imagery_tags", "IMAGERY")):
        for i, tags in enumerate(about.get(name, []), 1):
            image.update_tags(i, ns=space, **tags)
    if about["colours"]:
        colours = [rasterio.enums.ColorInterp[name] for name in about["colours"]]
        if colours != list(image.colorinterp):
            image.colorinterp = colours
    for name, usual in (("scales", 1.0), ("offsets", 0.0), ("units", None)):
        if any(value != usual for value in about[name]):
            setattr(image, name, about[name])


def _scalar(text: str, dtype: np.dtype[Any]) -> float | int:
    """No data as a number that ``dtype`` holds; whole numbers stay whole beyond 2**53."""
    return int(float(text)) if dtype.kind in "iu" else float(text)


def _phantom(cube: Cube) -> dict[str, Any]:
    """What is written about a phantom."""
    count = cube.values.shape[0]
    wavelengths = cube.metadata.get("wavelengths", [])
    return {
        "crs": None, "transform": None, "nodata": None if cube.no_data is None else str(cube.no_data),
        "descriptions": [None] * count, "tags": {}, "scales": [1.0] * count, "offsets": [0.0] * count,
        "units": [None] * count, "colours": [], "layout": {"interleave": "pixel", "compress": "deflate"},
        "imagery_tags": [{"CENTRAL_WAVELENGTH_UM": f"{w / 1e3:.17g}"} for w in wavelengths],
    }  # fmt: skip

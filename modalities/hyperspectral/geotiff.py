"""GeoTIFF through rasterio (GDAL), with georeferencing, band descriptions, no data and tags."""

import json
import logging
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
    printable,
)
from liveaction.files import atomic_path
from liveaction.modalities.array.formats import check_unpacked, warn_absent
from liveaction.modalities.hyperspectral.cube import (
    Bands,
    Cube,
    check_dtype,
    nanometres,
    pack_bytes,
    unpack_bytes,
)
from liveaction.modalities.hyperspectral.envi_header import Range
from liveaction.modalities.third_party import one_line

SUFFIXES = (".tif", ".tiff")
_BY_BAND = ("descriptions", "scales", "offsets", "units", "colours", "band_tags", "imagery_tags")
_ALWAYS = {*_BY_BAND[:5], "crs", "transform", "nodata", "tags", "layout"}
_SPACES = {"", "IMAGE_STRUCTURE", "DERIVED_SUBDATASETS", "SUBDATASETS", "RPC", "IMAGERY"}  # kept, or said otherwise
_LOSSY = ("jpeg", "webp", "lerc", "jxl")  # what names of lossy compressions begin with
_OF_WAVELENGTHS = {"wavelength", "wavelength_unit", "wavelength_units", "central_wavelength_um", "fwhm_um", "fwhm"}
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
    except (RasterioError, OSError, ValueError, TypeError, LookupError, MemoryError) as error:
        if isinstance(error, LiveactionError):
            raise
        raise FormatError(f"{path}: expected a GeoTIFF that can be {doing}, got {one_line(error)}") from error


@contextmanager
def _listening(said: list[str]) -> Iterator[None]:
    """Gather what GDAL warns of, such as tags that it passes over, which rasterio would put on the terminal."""
    logger, handler = logging.getLogger("rasterio._env"), logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(printable(record.getMessage()))  # type: ignore[method-assign]
    spreading, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = spreading


def read_geotiff(path: Path) -> Cube:
    """Read all bands.

    Returns:
        The image; metadata hold, as one packed text, transform, CRS, no data, descriptions, tags, scales, offsets,
        units, colour interpretation, colour map and layout of the file. What a GeoTIFF may hold beside (masks, ground
        control points, rational polynomials, overviews, further images, tags of other domains) is not kept, of which
        all but overviews warns.

    Raises:
        FormatError: the file is damaged, complex, or no GeoTIFF.
        MissingDependencyError: rasterio is not installed.
    """
    if not path.is_file():
        raise FormatError(f"{path}: expected a GeoTIFF file, got no such file; check the spelling")
    said: list[str] = []
    with _rasterio(path, "read") as rasterio, _listening(said), rasterio.open(path, driver="GTiff") as image:
        check_dtype(np.dtype(image.dtypes[0]) if "complex" not in image.dtypes[0] else np.dtype("c16"), path)
        if len(set(image.dtypes)) > 1:
            raise FormatError(
                f"{path}: expected one data type for all bands, got {', '.join(sorted(set(image.dtypes)))}"
            )
        size = image.count * image.height * image.width * np.dtype(image.dtypes[0]).itemsize
        check_unpacked(path, size, path.stat().st_size)
        values = np.ascontiguousarray(image.read())
        about, lost, (there, total) = _describe(image), _not_kept(image), _stored(image)
    warn_absent(path, "", there, total, 0 if about["nodata"] is None else about["nodata"], "blocks")
    if any("IO error" in text for text in said):
        raise FormatError(f"{path}: expected a whole GeoTIFF, got {said[0][:160]!r}; copy it again")
    if said:
        warnings.warn(f"{path}: GDAL says: {said[0][:160]!r}", LiveactionWarning, stacklevel=3)
    if lost:
        warnings.warn(f"{path}: {', '.join(lost)} will not be written back", LiveactionWarning, stacklevel=3)
    if about.get("palette"):
        warnings.warn(
            f"{path}: values are numbers of a colour map, which is kept, but they come back as near numbers, other "
            "colours; convert it to RGB",
            LiveactionWarning,
            stacklevel=3,
        )
    metadata = {"source": "geotiff", "about": pack_bytes(json.dumps(about).encode())}
    return Cube(values, metadata, None if about["nodata"] is None else float(about["nodata"]))


def describe_geotiff(metadata: dict[str, Any], path: Path) -> Bands:
    """Wavelengths of the image in ``metadata``: GDAL's ``CENTRAL_WAVELENGTH_UM``, or tags ``wavelength`` per band."""
    about = _unpacked(metadata, path)
    wavelengths = _wavelengths(about.get("band_tags") or [{}], about.get("imagery_tags") or [{}])
    return Bands(None if wavelengths is None else np.array(wavelengths))


def crop_geotiff(metadata: dict[str, Any], box: tuple[Range, Range, Range], path: Path) -> dict[str, Any]:
    """Metadata of a region: the transform moved, what stands for each band cut, statistics of the whole left out.

    Args:
        metadata: of the whole, as :func:`read_geotiff` gives them.
        box: half-open ranges of bands, lines and samples.
        path: stands first in messages.
    """
    about = _unpacked(metadata, path)
    (low, high), y, x = box[0], box[1][0], box[2][0]
    if about["transform"] is not None:
        a, b, left, d, e, top = about["transform"]
        about["transform"] = [a, b, left + a * x + b * y, d, e, top + d * x + e * y]
    if "band_tags" in about:
        about["band_tags"] = [_without_statistics(tags) for tags in about["band_tags"]]
    if (low, high) != (0, len(about["descriptions"])):
        about["layout"] = {key: value for key, value in about["layout"].items() if key != "photometric"}
    about |= {name: about[name][low:high] for name in _BY_BAND if name in about}
    return {**metadata, "about": pack_bytes(json.dumps(about).encode())}


def scale_geotiff(
    metadata: dict[str, Any], factors: tuple[int, int], corner: tuple[float, float], path: Path
) -> dict[str, Any]:
    """Metadata of every so many lines and samples; ``corner`` is where the first one's lies, in lines and samples.

    Statistics of the whole are left out.
    """
    about = _unpacked(metadata, path)
    if about["transform"] is not None:
        (fy, fx), (y, x) = factors, corner
        a, b, left, d, e, top = about["transform"]
        about["transform"] = [a * fx, b * fy, left + a * x + b * y, d * fx, e * fy, top + d * x + e * y]
    if "band_tags" in about:
        about["band_tags"] = [_without_statistics(tags) for tags in about["band_tags"]]
    return {**metadata, "about": pack_bytes(json.dumps(about).encode())}


def _without_statistics(tags: dict[str, str]) -> dict[str, str]:
    return {key: text for key, text in tags.items() if not key.startswith("STATISTICS_")}


def strip_geotiff(metadata: dict[str, Any], path: Path) -> dict[str, Any]:
    """Metadata of place, type, scale, unit and wavelength: no descriptions, and no other tags."""
    about = _unpacked(metadata, path)
    about |= {"descriptions": [None] * len(about["descriptions"]), "tags": _only(about["tags"], {"area_or_point"})}
    for name in ("band_tags", "imagery_tags"):
        if name in about:
            about[name] = [_only(tags, _OF_WAVELENGTHS) for tags in about[name]]
    return {**metadata, "about": pack_bytes(json.dumps(about).encode())}


def _only(tags: dict[str, str], names: set[str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if key.lower() in names}


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
    nodata = None if about["nodata"] is None else _scalar(about["nodata"], cube.values.dtype)
    if cube.values.dtype.itemsize == 8 and isinstance(nodata, int) and abs(nodata) > 2**53:
        warnings.warn(
            f"{path}: rasterio cannot write {nodata} as no data of {cube.values.dtype}; read it with "
            "[modality.options] no_data",
            LiveactionWarning,
            stacklevel=3,
        )
        nodata = None
    layout = _lossless({key: value for key, value in about["layout"].items() if key in _LAYOUT}, path)
    with _rasterio(path, "written") as rasterio, atomic_path(path) as part:
        profile = {**layout, "driver": "GTiff", "dtype": cube.values.dtype.name, "count": count}
        profile |= {"height": height, "width": width, "BIGTIFF": "IF_SAFER"}
        if about["colours"][:3] == ["red", "green", "blue"] and "alpha" not in about["colours"]:
            profile |= {"photometric": "RGB", "alpha": "UNSPECIFIED"}  # else GDAL takes a fourth band for it
        profile["nodata"] = nodata
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
    if image.count == 1 and image.colorinterp[0].name == "palette":
        about["palette"] = [list(image.colormap(1).get(i, (0, 0, 0, 255))) for i in range(max(image.colormap(1)) + 1)]
    return about | {name: tags for name, tags in bands.items() if any(tags)}


def _unpacked(metadata: dict[str, Any], path: Path) -> dict[str, Any]:
    text = unpack_bytes(metadata.get("about"), path)
    try:
        about: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise FormatError(f"{path}: expected metadata of a GeoTIFF, got {one_line(error)}") from error
    if not isinstance(about, dict) or not about.keys() >= _ALWAYS:
        got = f"no {min(_ALWAYS - about.keys())}" if isinstance(about, dict) else type(about).__name__
        raise FormatError(f"{path}: expected metadata of a GeoTIFF, got {got}")
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


def _stored(image: Any) -> tuple[int, int]:
    """How many blocks (tiles or strips) are in the file, of how many; GDAL reads the others as no data, or 0."""
    rows, columns = (-(-n // block) for n, block in zip(image.shape, image.block_shapes[0], strict=True))
    bands = 1 if image.profile.get("interleave") == "pixel" else image.count
    places = [f"BLOCK_OFFSET_{x}_{y}" for y in range(rows) for x in range(columns)]
    found = (image.get_tag_item(place, "TIFF", bidx=band) for band in range(1, bands + 1) for place in places)
    return sum(place is not None for place in found), bands * len(places)


def _not_kept(image: Any) -> list[str]:
    """What of an image this module does not write."""
    from rasterio.enums import MaskFlags

    flags = {flag for each in image.mask_flag_enums for flag in each}
    spaces = set(image.tag_namespaces()).union(*(image.tag_namespaces(i) for i in image.indexes)) - _SPACES
    return [
        name
        for name, there in {
            "a mask": MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags,
            "ground control points": bool(image.gcps[0]),
            "rational polynomial coefficients": image.rpcs is not None,
            "further images": bool(image.subdatasets),
            "tags of " + ", ".join(map(repr, sorted(spaces))): bool(spaces),
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
    if about.get("palette"):
        image.write_colormap(1, {i: tuple(colour) for i, colour in enumerate(about["palette"])})
    for name, usual in (("scales", 1.0), ("offsets", 0.0), ("units", None)):
        if any(value != usual for value in about[name]):
            setattr(image, name, about[name])


def _lossless(layout: dict[str, Any], path: Path) -> dict[str, Any]:
    """The layout, with deflate in place of a compression that would lose detail a second time, which warns."""
    if not str(layout.get("compress", "")).lower().startswith(_LOSSY):
        return layout
    warnings.warn(
        f"{path}: written with deflate, since {layout['compress']} as in its source would lose detail a second time",
        LiveactionWarning,
        stacklevel=3,
    )
    return {key: value for key, value in layout.items() if key != "photometric"} | {"compress": "deflate"}


def _scalar(text: str, dtype: np.dtype[Any]) -> float | int:
    """No data as a number, whole for integers where it is."""
    value = float(text)
    return int(value) if dtype.kind in "iu" and value.is_integer() else value


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

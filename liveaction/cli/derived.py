"""``decompress --to dicom``: a derived series like the one that was compressed."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from liveaction.errors import FormatError, SpecError

if TYPE_CHECKING:
    from liveaction.cli.single import Single
    from liveaction.codec.reader import StreamReader
    from liveaction.modalities.base import Modality
    from liveaction.modalities.volume.dicom_write import DerivedSeries
    from liveaction.modalities.volume.scan import Scan
    from liveaction.signal import Signal


def check_kind(options: "Single") -> None:
    """Refuse another kind than DICOM, one of --to and --template without the other, and what a series cannot be of.

    Raises:
        SpecError: one was given.
    """
    if options.to not in ("", "dicom"):
        raise SpecError(f"--to: expected dicom, got {options.to!r}; without it the name of TARGET says the format")
    if options.template is not None and not options.to:
        raise SpecError("--template: expected --to dicom with it, got none; add it")
    if not options.to:
        return
    if options.template is None:
        raise SpecError("--to: expected --template with it, the folder of the original series, got none; add it")
    given = {
        "--region": options.region or None,
        "--scale": options.scale or None,
        "--fill": options.fill,
        "--enhance": options.enhance,
    }
    for name, value in given.items():
        if value is not None:
            raise SpecError(
                f"{name}: expected none with --to dicom, which writes all of what was measured, got {str(value)!r}; "
                "leave it out"
            )


def check_series(modality: "Modality", outline: "Signal", target: Path, template: Path) -> list[Path]:
    """Refuse what cannot become a series like the template; the folder that will be written.

    Raises:
        FormatError, SpecError, WriteError: as :meth:`~liveaction.modalities.volume.scan.Scan.write_series`; a stream
            of something else than CT and MRI.
    """
    from liveaction.codec.outline import metadata_errors

    scan = _scan(modality)
    with metadata_errors(str(target)):
        scan.check_series(outline, target, template)
    return [target]


def write_series(
    reader: "StreamReader", signal: "Signal", target: Path, template: Path, ratio: float
) -> "DerivedSeries":
    """Write what a stream held like the template, and what was written."""
    from liveaction.codec.outline import metadata_errors
    from liveaction.modalities.volume.dicom_derived import Origin

    origin = Origin.of(reader.header.model_dump() | {"ratio": ratio})
    with metadata_errors(str(target)):
        return _scan(reader.modality).write_series(signal, target, template, origin)


def series_fields(series: "DerivedSeries", ratio: float) -> dict[str, Any]:
    """For JSON."""
    return {
        "files": series.files,
        "series": series.uid,
        "lossy": series.lossy,
        "ratio": ratio,
        "clipped_values": series.clipped,
        "moved_values": series.moved,
    }


def series_text(series: "DerivedSeries", ratio: float) -> str:
    """For people."""
    files = f"{series.files} DICOM {'file' if series.files == 1 else 'files'} of a derived series"
    rounded = " by the whole values that were read" if series.rounded else ""
    kind = f"{f'lossy{rounded}' if series.lossy else 'lossless, stored values as in the template'}, {ratio:.4g}:1"
    clipped = f"{series.clipped or 'no'} {'value' if series.clipped == 1 else 'values'} clipped to the stored bits"
    moved = f", {series.moved} kept off the padding value" if series.moved else ""
    return f"{files}, {kind}, {clipped}{moved}"


def _scan(modality: "Modality") -> "Scan":
    from liveaction.modalities.volume.scan import Scan

    if not isinstance(modality, Scan):
        raise FormatError(
            f"--to dicom: expected a stream of CT or MRI, got one of {modality.spec.name!r}; leave it out"
        )
    return modality

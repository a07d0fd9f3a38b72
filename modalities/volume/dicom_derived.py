"""What the header of a derived slice says: whose it is as before, what it was made from, how, and how lossy."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from importlib.metadata import version
from typing import Any

METHOD = "LIVEACTION"
"""As LossyImageCompressionMethod: a defined term, which implementers may add to (PS3.5 6.3); no standard one fits."""

_LOSSY = {f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 81)}  # transfer syntaxes that always lose something
_SPENT = (
    *("IconImageSequence", "DigitalSignaturesSequence", "MACParametersSequence", "InstanceCreatorUID"),
    *("SmallestImagePixelValue", "LargestImagePixelValue", "SmallestPixelValueInSeries", "LargestPixelValueInSeries"),
    *("SmallestImagePixelValueInPlane", "LargestImagePixelValueInPlane", "DataSetTrailingPadding"),
)
_OVERLAY, _CURVE, _PIXELS = range(0x6000, 0x6020, 2), range(0x5000, 0x5020, 2), 0x7FE0
_OFFSET = re.compile(r"([+-])(\d\d)(\d\d)")
_LABEL, _TEXT = 64, 1024  # characters of LO and ST


@dataclass(frozen=True)
class Origin:
    """The stream that a signal was decoded from.

    Attributes:
        recipe: the name of its model's recipe.
        weights: the digest of the model's weights, or its start.
        ratio: bits of the source's values over bits of the stream.
        bound: no value differs by more, in the unit; 0 is lossless, None no bound.

    Example:
        >>> origin = Origin.of({"recipe": "ct_sparse", "weights": "0f" * 16, "ratio": 25.31, "bound": {"error": 2.0}})
        >>> origin.lossless, origin.text("HU")[:71]
        (False, 'decoded from a compressed stream, recipe ct_sparse, weights 0f0f0f0f0f0')
    """

    recipe: str
    weights: str
    ratio: float
    bound: float | None = None

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> "Origin":
        """By what ``liveaction.read_info`` says of a stream."""
        bound = info["bound"]
        return cls(info["recipe"], info["weights"], info["ratio"], None if bound is None else bound["error"])

    @property
    def lossless(self) -> bool:
        """Whether the stream brings back every value that was read."""
        return self.bound == 0

    def text(self, unit: str) -> str:
        """In words."""
        promise = "" if self.bound is None else f", no error above {self.bound:g} {unit}".rstrip()
        return (
            f"decoded from a compressed stream, recipe {self.recipe}, weights {self.weights[:32]}, ratio "
            f"{self.ratio:.4g}:1{', lossless' if self.lossless else promise}"
        )


@dataclass(frozen=True)
class Derivation:
    """What the slices of one derived series have in common; ``lossy``: stored values may differ from the source's."""

    origin: Origin
    unit: str
    lossy: bool
    series: str = field(default_factory=lambda: new_uid())
    now: datetime = field(default_factory=lambda: datetime.now(UTC).astimezone())

    @property
    def program(self) -> str:
        """Name and version."""
        return f"liveaction {version('liveaction')}"

    def apply(self, data: Any, kinds: list[str], source_class: str, note: str) -> None:
        """Make the data set of a source slice that of a derived one; its pixels are taken out.

        Args:
            data: as pydicom read it; changed in place, with new file meta information.
            kinds: the values of its ImageType.
            source_class: its SOP class.
            note: what else happened to its values, in words.
        """
        from pydicom.dataset import FileMetaDataset
        from pydicom.uid import ExplicitVRLittleEndian

        syntax, source = data.file_meta.get("TransferSyntaxUID", ""), data.SOPInstanceUID
        _remove_spent(data)
        data.file_meta, data.preamble = FileMetaDataset(), bytes(128)
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SOPClassUID, data.SOPInstanceUID, data.SeriesInstanceUID = source_class, new_uid(), self.series
        data.ImageType = ["DERIVED", "SECONDARY", *(kind.strip() for kind in kinds[2:])]
        was_lossy = data.get("LossyImageCompression") == "01" or syntax in _LOSSY
        self._say_lossy(data, was_lossy)
        data.SourceImageSequence = [self._source(source, source_class, was_lossy)]
        self._describe(data, note)
        self._date(data)

    def _say_lossy(self, data: Any, was_lossy: bool) -> None:
        """PS3.3 C.7.6.1.1.5: once lossy, always lossy; a ratio and a method for each time, in order."""
        if was_lossy or self.lossy:
            data.LossyImageCompression = "01"
        if not self.lossy:
            return
        ratios, methods = _values(data, "LossyImageCompressionRatio"), _values(data, "LossyImageCompressionMethod")
        if len(ratios) >= len(methods):  # else which ratio is whose could not be said
            data.LossyImageCompressionRatio = [*ratios, f"{self.origin.ratio:.4g}"]
        if len(methods) >= len(ratios):
            data.LossyImageCompressionMethod = [*methods, METHOD]
        codes = list(data.get("DerivationCodeSequence") or [])
        if not any(code.get("CodeValue") == "113040" for code in codes):
            data.DerivationCodeSequence = [*codes, _code("113040", "Lossy Compression")]

    def _source(self, instance: str, kind: str, was_lossy: bool) -> Any:
        from pydicom.dataset import Dataset

        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = kind, instance
        item.SpatialLocationsPreserved = "YES"
        uncompressed = self.lossy and not was_lossy
        item.PurposeOfReferenceCodeSequence = [
            _code("121320", "Uncompressed predecessor")
            if uncompressed
            else _code("121322", "Source image for image processing operation")
        ]
        return item

    def _describe(self, data: Any, note: str) -> None:
        """What people read: what was done, and behind it what had been said before."""
        said = _plain(f"{self.program}: {self.origin.text(self.unit)}{note if self.lossy else ''}{self._rounded}")
        before = str(data.get("DerivationDescription") or "").strip()
        data.DerivationDescription = (f"{said}. Before: {before}" if before else said)[:_TEXT].rstrip()
        mark = f"liveaction {self.origin.ratio:.4g}:1 lossy" if self.lossy else "liveaction lossless"
        name = str(data.get("SeriesDescription") or "").strip()[: _LABEL - len(mark) - 2].rstrip()
        data.SeriesDescription = f"{name}, {mark}" if name else mark

    @property
    def _rounded(self) -> str:
        return ", of values that were rounded to whole ones when read" if self.lossy and self.origin.lossless else ""

    def _date(self, data: Any) -> None:
        """When the pixels were made, in the time zone that the slice names, and by what."""
        from pydicom.dataset import Dataset

        now = self.now
        if found := _OFFSET.fullmatch(str(data.get("TimezoneOffsetFromUTC") or "").strip()):
            sign, hours, minutes = found.groups()
            away = timedelta(hours=int(hours), minutes=int(minutes))
            now = now.astimezone(timezone(-away if sign == "-" else away))
        data.ContentDate = data.InstanceCreationDate = now.strftime("%Y%m%d")
        data.ContentTime = data.InstanceCreationTime = now.strftime("%H%M%S.%f")
        machine = Dataset()
        machine.PurposeOfReferenceCodeSequence = [_code("109103", "Modifying Equipment")]
        machine.Manufacturer, machine.ManufacturerModelName = "liveaction", _plain(self.origin.recipe)[:_LABEL]
        machine.SoftwareVersions = version("liveaction")
        machine.ContributionDateTime = now.strftime("%Y%m%d%H%M%S.%f%z")
        machine.ContributionDescription = "lossy compression" if self.lossy else "lossless compression"
        data.ContributingEquipmentSequence = [*(data.get("ContributingEquipmentSequence") or []), machine]


def new_uid() -> str:
    """A new UID under 2.25, of a random UUID (PS3.5 B.2)."""
    from pydicom.uid import generate_uid

    return str(generate_uid(prefix=None))


def _remove_spent(data: Any) -> None:
    """Take out the pixels, and what was said or signed of them, or was drawn into their unused bits."""
    for name in _SPENT:
        if name in data:
            del data[name]
    gone = {_PIXELS, *_CURVE, *(group for group in _OVERLAY if (group, 0x3000) not in data)}
    for tag in [tag for tag in data.keys() if tag.group in gone or tag.element == 0]:  # noqa: SIM118
        del data[tag]


def _code(value: str, meaning: str) -> Any:
    from pydicom.dataset import Dataset

    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
    return code


def _values(data: Any, tag: str) -> list[Any]:
    found = data.get(tag)
    if found is None or found == "":
        return []
    return [found] if isinstance(found, str | float | int) else list(found)


def _plain(text: str) -> str:
    """In the letters of every character set; none that parts values."""
    return text.encode("ascii", "replace").decode().replace("\\", "/")

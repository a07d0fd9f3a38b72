"""Pictures in colour and in grey: PNG, TIFF, netpbm, and what Pillow reads."""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from liveaction.errors import FormatError, LiveactionWarning, ShapeError, SpecError
from liveaction.modalities.base import Modality
from liveaction.modalities.exhibit import Exhibit
from liveaction.modalities.find import find_files
from liveaction.modalities.image.exhibits import image_exhibits
from liveaction.modalities.image.files import READABLE, WRITABLE, check_format, read_image, strip_metadata, write_image
from liveaction.modalities.image.phantom import picture
from liveaction.modalities.image.preview import draw_preview
from liveaction.modalities.image.tiff import crop_tags, scale_tags
from liveaction.modalities.options import Options, parse_options
from liveaction.signal import Signal
from liveaction.spec import ModalitySpec

_WANTED = f"a picture ({', '.join(sorted(READABLE))}), or a folder that holds such"


class Image(Modality):
    """Pictures ``[3, Y, X]`` (``rgb``) or ``[1, Y, X]`` (``grey``), values as stored: uint8, uint16, grey also float32.

    Orientation, colour profile, resolution, EXIF and texts are kept in the metadata and change no value: a photo that
    was taken upright and stored lying is coded lying, and its tag still turns it.

    Raises:
        SpecError: the recipe does not ask for two axes and the channels of its name, or sets an option.
    """

    def __init__(self, spec: ModalitySpec) -> None:
        super().__init__(spec)
        wanted = 1 if spec.name == "grey" else 3
        if len(spec.axes) != 2 or spec.channels != wanted:
            raise SpecError(
                f"[modality] {spec.name}: expected 2 axes [y, x] and {wanted} channels, got axes {spec.axes!r} and "
                f"channels {spec.channels}"
            )
        parse_options(Options, spec.options)

    def find(self, path: Path) -> list[Path]:
        """Pictures under ``path``, see :func:`find_files`.

        Raises:
            FormatError: nothing is there, or nothing in it is a picture.
        """
        return find_files(path, _WANTED, lambda file: file.suffix.lower() in READABLE, way="convert it to PNG")

    def read(self, path: Path) -> Signal:
        """Read one picture, see :func:`read_image` for what is kept.

        Returns:
            ``[3, Y, X]`` or ``[1, Y, X]``, spacing 1 sample.

        Raises:
            FormatError: not such a file, damaged, of another kind (alpha, palette, CMYK, several pages), colour for a
                grey recipe or the reverse, or NaN or infinity inside.
        """
        self.find(path)
        if path.is_dir():
            raise FormatError(f"{path}: expected one picture, got a folder; name a file in it")
        pixels, bits, metadata = read_image(path)
        if pixels.ndim == 2 and self.spec.channels == 3:
            raise FormatError(
                f"{path}: expected red, green and blue, got a grey picture; use a recipe for grey ones, or convert it"
            )
        if pixels.ndim == 3 and self.spec.channels == 1:
            raise FormatError(
                f"{path}: expected a grey picture, got red, green and blue; use a recipe for rgb, or convert it"
            )
        values = np.ascontiguousarray(pixels[np.newaxis] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0))
        self.check_finite(values, path)
        return Signal(values, self.spec.axes, self.spec.unit, (1.0, 1.0), values.dtype.name, metadata, bits)

    def check_target(self, signal: Signal, path: Path) -> list[Path]:
        """Refuse another suffix, and a format that cannot hold the dtype, see :func:`check_format`."""
        if path.suffix.lower() not in WRITABLE:
            wanted = ", ".join(sorted(WRITABLE))
            raise FormatError(f"{path}: expected a name ending in {wanted}, got {path.name!r}; rename it")
        if signal.values.ndim != 3 or signal.values.shape[0] != self.spec.channels:
            raise ShapeError(f"{path}: expected values [{self.spec.channels}, Y, X], got {signal.values.shape}")
        check_format(signal, path)
        return super().check_target(signal, path)

    def write(self, signal: Signal, path: Path) -> None:
        """Write PNG, TIFF (deflate) or binary PPM/PGM with the source's dtype and metadata; atomic.

        Values of another real dtype are rounded and clipped to the source's. Warns of what the format cannot hold.

        Args:
            signal: ``[3, Y, X]`` or ``[1, Y, X]``.
            path: ends in .png, .tif, .tiff, .ppm, .pgm or .pnm.

        Raises:
            FormatError: another suffix, no such folder, NaN or infinity, or a dtype that the format cannot hold.
            ShapeError: other channels or axes than the recipe's.
        """
        self.check_target(signal, path)
        self.check_finite(signal.values, path)
        target = np.dtype(signal.dtype)
        values = signal.values
        if values.dtype != target and target.kind != "f":
            limits = np.iinfo(target)
            values = np.rint(values).clip(limits.min, limits.max)
        lost = write_image(replace(signal, values=values.astype(target, copy=False)), path)
        if lost:
            text = f"{path}: expected to keep all of the source, got a format without room for {', '.join(lost)}"
            warnings.warn(LiveactionWarning(f"{text}; it is left out"), stacklevel=3)

    def cropped(self, signal: Signal, box: tuple[tuple[int, int], ...], extents: tuple[int, ...]) -> Signal:
        """A region whose tags place it on the page or the map where it was."""
        return replace(signal, metadata=crop_tags(signal.metadata, (box[0][0], box[1][0])))

    def scaled(self, signal: Signal, factors: tuple[int, ...], origin: tuple[float, ...]) -> Signal:
        """Fewer pixels as large as the picture was, on its page or map."""
        (y, x), (top, left) = factors, origin
        signal = super().scaled(signal, factors, origin)
        return replace(signal, metadata=scale_tags(signal.metadata, (y, x), (top, left)))

    def stripped(self, signal: Signal) -> Signal:
        """The signal with orientation, resolution, colour and, in TIFF, the place on a map; no EXIF and no texts."""
        return replace(signal, metadata=strip_metadata(signal.metadata))

    def synthetic(self, seed: int, extents: tuple[int, ...] | None = None) -> Signal:
        """A seeded picture of ground, sky, discs, stripes and strokes, uint8, 512 x 768 (:func:`picture`)."""
        y, x = extents or (512, 768)
        values = picture(seed, (y, x), self.spec.channels)
        metadata = {"source": "synthetic", "seed": seed}
        return Signal(values, self.spec.axes, self.spec.unit, (1.0, 1.0), "uint8", metadata)

    def pace(self, signal: Signal) -> tuple[float, str]:
        """Millions of pixels."""
        return signal.shape[0] * signal.shape[1] / 1e6, "Mpixel"

    def preview(self, original: Signal | None, reconstruction: Signal, path: Path, title: str = "") -> None:
        """Draw original, reconstruction and the error times 8 side by side, the busiest patch enlarged below, as PNG.

        Args:
            original: ``[C, Y, X]``, or None.
            reconstruction: the same shape.
            path: the PNG to write.
            title: a line above the picture.

        Raises:
            ShapeError: the two shapes differ.
        """
        limits = self.range_of(reconstruction if original is None else original)
        draw_preview(original, reconstruction, path, limits, title)

    def exhibits(self, signal: Signal, like: Signal) -> list[Exhibit]:
        """The whole and the busiest patch enlarged, see :func:`image_exhibits`."""
        return image_exhibits(signal, like, self.range_of(like))

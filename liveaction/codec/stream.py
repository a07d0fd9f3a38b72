"""Between a signal and bytes: compress, decompress, info."""

import base64
import binascii
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from liveaction.codec.model import Codec
from liveaction.coding.container import pack as pack_container
from liveaction.coding.container import unpack, unpack_header
from liveaction.coding.entropy import decode_symbols, encode_symbols
from liveaction.errors import FormatError, IntegrityError, ShapeError
from liveaction.registry import build_modality
from liveaction.signal import Signal, empty_values
from liveaction.spec import Finite, ModalitySpec, Recipe

if TYPE_CHECKING:
    from liveaction.modalities.base import Modality

DTYPES = (
    "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64",
)  # fmt: skip
QUALITIES = {1: 8.0, 2: 4.0, 3: 2.0, 4: 1.0, 5: 0.5, 6: 0.25, 7: 0.125}
"""``--quality`` to a multiple of the recipe's step; 4 is the step that the model was trained with."""


class StreamHeader(BaseModel):
    """What a stream says of itself, checked before anything is allocated."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: str
    weights: str = Field(pattern=r"^[0-9a-f]{64}$")
    modality: ModalitySpec
    shape: tuple[int, ...]
    dtype: str
    native_dtype: str
    axes: tuple[str, ...]
    unit: str
    spacing: tuple[float, ...]
    metadata: dict[str, Any]
    latent_shape: tuple[int, ...]
    step: float = Field(gt=0, allow_inf_nan=False)
    range: tuple[Finite, Finite]
    bits: int = Field(default=0, ge=0, le=64)
    missing: str = ""
    no_data: float = 0.0

    @field_validator("range")
    @classmethod
    def _ordered(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not value[0] < value[1]:
            raise ValueError(f"expected low < high, got {list(value)}")
        return value

    @property
    def native_bits(self) -> int:
        """Bits of the signal in its source's dtype."""
        return prod(self.shape) * (self.bits or np.dtype(self.native_dtype).itemsize * 8)


@dataclass(frozen=True)
class Timings:
    """Seconds: transform and network, and entropy coding with the container."""

    tensors: float
    coding: float


class _Normalised:
    """A signal's values ``[1, C, *S]`` in [-1, 1], made slab by slab as the codec asks for them."""

    def __init__(
        self, modality: "Modality", values: NDArray[Any], limits: tuple[float, float], device: torch.device
    ) -> None:
        self.modality, self.values, self.limits, self.device = modality, values, limits, device
        self.shape = (1, *values.shape)

    def narrow(self, dim: int, start: int, length: int) -> torch.Tensor:
        part = (slice(None),) * (dim - 1) + (slice(start, start + length),) if dim else ()
        return self.modality.normalise(self.values[part], self.limits)[None].to(self.device)


def compress(
    signal: Signal,
    codec: Codec,
    recipe: Recipe,
    digest: str,
    step: float | None = None,
    stage: Callable[[str], None] = lambda text: None,
) -> tuple[bytes, Timings]:
    """A signal to the bytes of a stream.

    Args:
        signal: values ``[C, *S]`` in the unit of the recipe's modality.
        codec, recipe, digest: as ``load_model`` returns them.
        step: quantiser step, in latent units; the recipe's where None. A larger one gives fewer bits.
        stage: is told what happens.

    Raises:
        ShapeError: the signal has other channels or axes than the recipe.
    """
    if signal.values.shape[0] != codec.channels or len(signal.shape) != codec.axes or 0 in signal.shape:
        raise ShapeError(
            f"compress: expected values [{codec.channels}, *S] with {codec.axes} axes as recipe {recipe.name!r} has, "
            f"got {signal.values.shape}"
        )
    modality = build_modality(recipe.modality)
    chosen = float(step or codec.quantizer.step)
    limits = modality.range_of(signal)
    began = perf_counter()
    stage("encoding")
    with torch.no_grad():
        source = _Normalised(modality, signal.filled(), limits, next(codec.parameters()).device)
        symbols = codec.to_symbols(source, chosen)[0].cpu().numpy()
    encoded = perf_counter()
    stage("entropy coding")
    header = StreamHeader(
        recipe=recipe.name,
        weights=digest,
        modality=recipe.modality,
        shape=signal.values.shape,
        dtype=signal.values.dtype.name,
        native_dtype=signal.dtype,
        axes=signal.axes,
        unit=signal.unit,
        spacing=signal.spacing,
        metadata=signal.metadata,
        latent_shape=symbols.shape,
        step=chosen,
        range=limits,
        bits=signal.bits,
        missing=_pack_mask(signal.missing),
        no_data=signal.no_data,
    )
    data = pack_container(header.model_dump(mode="json"), encode_symbols(symbols))
    return data, Timings(encoded - began, perf_counter() - encoded)


def decompress(
    data: bytes,
    codec: Codec,
    digest: str,
    where: str = "stream",
    stage: Callable[[str], None] = lambda text: None,
) -> tuple[Signal, Timings]:
    """The bytes of a stream to a signal.

    Args:
        codec, digest: as ``load_model`` returns them.
        where: stands first in errors.

    Raises:
        FormatError: not a stream, cut short, or inconsistent.
        IntegrityError: damaged, or made with other weights.
    """
    began = perf_counter()
    stage("entropy decoding")
    raw, payload = unpack(data, where)
    header = _parse(raw, where)
    if header.weights != digest:
        raise IntegrityError(
            f"{where}: expected the weights {header.weights[:12]} of recipe {header.recipe!r} it was made with, got "
            f"{digest[:12]}; pass the model directory that compressed it"
        )
    _check_sizes(header, codec, where)
    symbols = torch.from_numpy(decode_symbols(payload, header.latent_shape, where))
    decoded = perf_counter()
    stage("decoding")
    modality = build_modality(header.modality)
    with torch.no_grad():
        device = next(codec.parameters()).device
        values = empty_values(header.shape, header.dtype)
        for part in codec.decode_slabs(symbols[None].to(device), header.shape[1:], header.step):
            place = np.moveaxis(values, part.axis + 1, 0)[part.start : part.start + part.x.shape[part.axis + 2]]
            place[...] = np.moveaxis(modality.denormalise(part.x[0], header.dtype, header.range), part.axis + 1, 0)
    missing = _unpack_mask(header.missing, header.shape, where)
    if missing is not None:
        values[missing] = np.array(header.no_data).astype(values.dtype)
    about = header.metadata, header.bits, missing, header.no_data
    signal = Signal(values, header.axes, header.unit, header.spacing, header.native_dtype, *about)
    return signal, Timings(perf_counter() - decoded, decoded - began)


def read_info(path: str | Path) -> dict[str, Any]:
    """What a stream file says of itself, without decoding: header fields, bytes, ratio, bits per element.

    Raises:
        FormatError: the file cannot be read, or is not a whole stream.
    """
    path = Path(path)
    header = _parse(unpack(read_stream(path), str(path))[0], str(path))
    size = path.stat().st_size
    fields = header.model_dump(mode="json")
    elements = prod(header.shape)
    fields["missing"] = "none" if not header.missing else "some values"
    return {**fields, "bytes": size, "ratio": header.native_bits / (8 * size), "bits_per_element": 8 * size / elements}


def read_header(data: bytes, where: str) -> StreamHeader:
    """The checked header of a stream's first bytes."""
    return _parse(unpack_header(data, where)[0], where)


def read_stream(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        FormatError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise FormatError(f"{path}: expected a readable .lva file, got {error.strerror}") from error


def _pack_mask(missing: NDArray[np.bool_] | None) -> str:
    """One bit per value, deflated, base64: bad bands and borders take next to nothing."""
    if missing is None or not missing.any():
        return ""
    return base64.b64encode(zlib.compress(np.packbits(missing).tobytes(), 9)).decode()


def _unpack_mask(text: str, shape: tuple[int, ...], where: str) -> NDArray[np.bool_] | None:
    if not text:
        return None
    size = prod(shape)
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(base64.b64decode(text, validate=True), -(-size // 8) + 1)
    except (binascii.Error, zlib.error) as error:
        raise FormatError(f"{where}: expected a mask of missing values, got {error}") from error
    if len(data) != -(-size // 8) or not unpacker.eof:
        raise FormatError(f"{where}: expected a mask of {size} missing or measured values, got another size")
    bits = np.unpackbits(np.frombuffer(data, np.uint8), count=size)
    return bits.astype(bool).reshape(shape)


def _parse(raw: dict[str, Any], where: str) -> StreamHeader:
    try:
        header = StreamHeader.model_validate_json(json.dumps(raw))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise FormatError(f"{where}: expected header key {key!r} to be right, got: {first['msg'].lower()}") from error
    bad = [d for d in (header.dtype, header.native_dtype) if d not in DTYPES]
    if bad:
        raise FormatError(f"{where}: expected a dtype among {', '.join(DTYPES)}, got {bad[0]!r}")
    return header


def _check_sizes(header: StreamHeader, codec: Codec, where: str) -> None:
    """Refuse extents that do not belong together before memory is taken for them."""
    extents = header.shape[1:]
    if len(extents) != codec.axes or header.shape[0] != codec.channels or min(header.shape) < 1:
        raise FormatError(f"{where}: expected shape [{codec.channels}, *S] of {codec.axes} axes, got {header.shape}")
    grid = tuple(-(-n // f) for n, f in zip(extents, codec.packets.factors, strict=True))
    if header.latent_shape != (codec.spec.latent_channels, *grid):
        raise FormatError(
            f"{where}: expected latents {(codec.spec.latent_channels, *grid)} for shape {header.shape}, got "
            f"{header.latent_shape}"
        )
    if len(header.axes) != codec.axes or len(header.spacing) != codec.axes:
        raise FormatError(f"{where}: expected {codec.axes} axes and spacings, got {header.axes}, {header.spacing}")

"""What a stream says of itself, checked before anything is allocated."""

from math import inf, isfinite, nextafter, prod
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError, field_validator

from liveaction.codec.bound import Bound, most_bounded
from liveaction.codec.chunks import most_bytes
from liveaction.codec.grid import ChunkLayout, shape_of
from liveaction.codec.lean import CODERS, DTYPES, fill
from liveaction.coding.entropy import POSITIONS
from liveaction.errors import FormatError, IntegrityError, printable
from liveaction.spec import LARGEST, Line, ModalitySpec

if TYPE_CHECKING:
    from liveaction.codec.codec import Codec
    from liveaction.codec.model import Model

MAX_VOXELS = 2**34
"""Values that a stream may declare unless a caller allows more."""

WINDOW_SHARE = 2**9
"""A window with its halo holds at most this part of the values that a reader allows, 2**25 of 2**34."""

WHOLE_SHARE = 2**6
"""As that, 2**28 of 2**34, of a codec that looks at the whole signal at once."""

MOST_HALO = 16
"""Times the latents of a window, those with its halo are at most: it bounds what all windows together cost."""

Extents = Annotated[tuple[Annotated[int, Field(ge=1, le=2**62, strict=True)], ...], Field(min_length=1, max_length=16)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


def _end(value: Any) -> int | float:
    """The low end of a range: a number, or an integer of 64 bits where float64 does not hold it."""
    if type(value) is int and -(2**63) <= value < 2**64:
        return value
    if type(value) is float and isfinite(value):
        return value
    raise ValueError("input should be a finite number, or an integer of 64 bits")


WeightsDigest = Annotated[str, Field(pattern=r"^([0-9a-f]{64}|[0-9a-f]{32})$")]
TablesDigest = Annotated[str, Field(pattern=r"^([0-9a-f]{64}|[0-9a-f]{16})$")]


class StreamHeader(BaseModel):
    """The header's keys. An unknown one is refused, since a decoder may need it; what may be ignored is in ``extras``.

    What a stream leaves out is filled in before: see :mod:`liveaction.codec.lean`.

    Attributes:
        recipe: its name; ``weights`` and ``tables`` are sha256 digests of the model's weights and entropy tables, or
            their first 32 and 16 digits.
        modality: how the file is written back.
        shape: ``[C, *S]``; ``dtype`` of the values, ``native_dtype`` and ``bits`` of the source's.
        axes, unit, spacing, metadata, no_data: as in :class:`~liveaction.signal.Signal`.
        range: the values that map onto -1 and 1; of a constant signal the constant, an integer where float64 does not
            hold it, and the next larger float64.
        latent_channels, factors, chunk, window, halo: L, and the grid as in
            :class:`~liveaction.codec.grid.ChunkLayout`.
        step: of the quantiser, in latent units.
        tree: which of the codec's trees.
        components: K of the signal's own basis, which the side bytes hold; 0: none. L counts those of all components.
        coder: of the chunks' symbols.
        bound: on the error of every value, and how what is left is coded; None where there is none.
        extras: anything else that a writer wants to keep; kept and shown, not needed to decode.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: Line
    weights: WeightsDigest
    tables: TablesDigest
    modality: ModalitySpec
    shape: Extents
    dtype: Line
    native_dtype: Line
    bits: int = Field(ge=0, le=64, strict=True)
    axes: Annotated[tuple[Line, ...], Field(max_length=16)]
    unit: Line
    spacing: Annotated[tuple[Number, ...], Field(max_length=16)]
    metadata: dict[str, Any]
    no_data: Number | None
    range: tuple[Annotated[int | float, PlainValidator(_end)], Number]
    latent_channels: int = Field(ge=0, le=2**20, strict=True)
    factors: Extents
    chunk: Extents
    window: Extents
    halo: int = Field(ge=0, le=2**16, strict=True)
    step: float = Field(gt=0, le=LARGEST, allow_inf_nan=False, strict=True)
    tree: int = Field(ge=0, le=7, strict=True)
    components: int = Field(ge=0, le=2**16, strict=True)
    coder: Line
    bound: Bound | None = None
    extras: dict[str, Any]

    @field_validator("range")
    @classmethod
    def _ordered(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not value[0] < value[1]:
            raise ValueError(f"expected low < high, got {list(value)}")
        return value

    @field_validator("dtype", "native_dtype")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in DTYPES:
            raise ValueError(f"expected a dtype among {', '.join(DTYPES)}, got {value!r}")
        return value

    @property
    def native_bits(self) -> int:
        """Bits of the signal in its source's dtype."""
        return prod(self.shape) * (self.bits or np.dtype(self.native_dtype).itemsize * 8)

    @property
    def layout(self) -> ChunkLayout:
        """How the latents are cut."""
        return ChunkLayout(self.shape[1:], self.factors, self.chunk, self.window, self.halo)

    def chunk_bytes(self, number: int) -> int:
        """Bytes that a chunk takes at most: its mask, deflated badly, and its symbols by the longest codes."""
        layout = self.layout
        box = layout.chunk_box(number)
        samples, positions = self.shape[0] * prod(shape_of(layout.samples(box))), prod(shape_of(box))
        left = 0 if self.bound is None else most_bounded(samples, np.dtype(self.dtype).itemsize)
        return most_bytes(samples, (self.latent_channels, positions)) + left

    @property
    def missing_value(self) -> float:
        """What stands where values are missing; JSON has no NaN, so ``no_data`` is null for it."""
        return float("nan") if self.no_data is None else self.no_data


def parse_header(raw: dict[str, Any], chunks: int, where: str, max_voxels: int = MAX_VOXELS) -> StreamHeader:
    """The header of a container with so many chunks, checked in itself.

    Raises:
        FormatError: a key is wrong or unknown, or sizes do not belong together or are above ``max_voxels``.
    """
    try:
        header = StreamHeader.model_validate(fill(raw))
    except ValidationError as error:
        first = min(error.errors(), key=lambda entry: entry["type"] == "missing")  # one that is wrong says more
        key = ".".join(map(str, first["loc"]))[:120]
        if first["type"] == "extra_forbidden":
            raise FormatError(
                f"{where}: expected known header keys, got {key!r}; take the version of liveaction that wrote it"
            ) from error
        message = printable(first["msg"].removeprefix("Value error, ").lower())[:300]
        raise FormatError(f"{where}: expected header key {key!r} to be right, got: {message}") from error
    if prod(header.shape) > max_voxels:
        raise FormatError(
            f"{where}: expected at most {max_voxels} values, got {prod(header.shape)} as {header.shape}; if that is "
            "what it should hold, raise the limit with --max-voxels"
        )
    _check_grid(header, chunks, where)
    _check_values(header, where)
    return header


def _check_grid(header: StreamHeader, chunks: int, where: str) -> None:
    axes = len(header.shape) - 1
    lengths = {name: len(getattr(header, name)) for name in ("axes", "spacing", "factors", "chunk", "window")}
    for name, length in lengths.items():
        if length != axes or axes < 1:
            raise FormatError(f"{where}: expected header key {name!r} with one entry per axis ({axes}), got {length}")
    layout = header.layout
    if any(c > g for c, g in zip(layout.chunk, layout.grid, strict=True)) or prod(layout.chunk) > POSITIONS:
        raise FormatError(
            f"{where}: expected chunks within the grid {layout.grid} of at most {POSITIONS} latents, got {layout.chunk}"
        )
    bounds = [-(-g // c) * c for g, c in zip(layout.grid, layout.chunk, strict=True)]
    if any(w % c or w > most for w, c, most in zip(layout.window, layout.chunk, bounds, strict=True)):
        raise FormatError(f"{where}: expected windows of whole chunks {layout.chunk}, got {layout.window}")
    if layout.chunks != chunks:
        raise FormatError(f"{where}: expected {layout.chunks} chunks for shape {header.shape}, got {chunks}")


def _check_values(header: StreamHeader, where: str) -> None:
    """Samples are made in float32, between the ends of the range, then given the dtype."""
    low, high = header.range
    constant = high == nextafter(float(low), inf)
    if not constant and not max(abs(low), abs(high), high - low) <= LARGEST:
        raise FormatError(f"{where}: expected a range within what float32 holds, got {(low, high)}")
    if np.dtype(header.dtype).kind != "f":
        info = np.iinfo(header.dtype)
        if low > info.max or high < info.min:
            raise FormatError(f"{where}: expected a range that {header.dtype} values meet, got {(low, high)}")
    if header.coder not in CODERS:
        raise FormatError(
            f"{where}: expected a coder among {', '.join(CODERS)}, got {printable(header.coder)[:80]!r}; take the "
            "version of liveaction that wrote it"
        )
    if header.components and header.latent_channels % header.components:
        raise FormatError(
            f"{where}: expected latent channels for each of {header.components} components, got "
            f"{header.latent_channels} in all"
        )
    spec = header.modality
    if not spec.takes(header.shape[0]) or len(spec.axes) != len(header.axes):
        raise FormatError(
            f"{where}: expected a modality of {header.shape[0]} channels and {len(header.axes)} axes as the shape has, "
            f"got {spec.channels} and {len(spec.axes)}"
        )


def _check_window(header: StreamHeader, codec: "Codec", max_voxels: int, where: str) -> None:
    """Memory and time: a region costs a window with its halo at least, whatever the chunks' bytes may be."""
    layout, own = header.layout, codec.layout(header.shape[1:], max(1, header.components))
    values = prod(header.factors) * max(header.shape[0], header.components)
    whole = own.halo == 0  # what this version decodes at once, nobody decodes in parts
    share, limit = (WHOLE_SHARE, MAX_VOXELS // WHOLE_SHARE) if whole else (WINDOW_SHARE, MAX_VOXELS // WINDOW_SHARE)
    most = max(limit, max_voxels // share) // values
    if not whole:
        most = max(most, _with_halo(own))
    found = _with_halo(layout)
    if found > most:
        raise FormatError(
            f"{where}: expected windows of at most {most} latents with their halo, got {found} as {header.window} and "
            f"{header.halo}; if they should be as large, raise the limit with --max-voxels {found * values * share}"
        )
    inside = prod(min(w, g) for w, g in zip(layout.window, layout.grid, strict=True))
    if found > MOST_HALO * inside:
        raise FormatError(
            f"{where}: expected halos of at most {MOST_HALO} times the latents of a window, got {found} latents for "
            f"{inside} as {header.window} and {header.halo}"
        )


def _with_halo(layout: ChunkLayout) -> int:
    """Latents that a window is decoded from, at most."""
    return prod(min(w + 2 * layout.halo, g) for w, g in zip(layout.window, layout.grid, strict=True))


def check_codec(header: StreamHeader, model: "Model", where: str, max_voxels: int = MAX_VOXELS) -> "Codec":
    """The codec of a stream's tree; refuse one made with another model, or with larger windows than are allowed.

    Raises:
        IntegrityError: other weights or entropy tables, or none of the stream's coder.
        FormatError: sizes that do not belong to the codec.
    """
    digest = model.digest
    if header.weights != digest[: len(header.weights)]:
        raise IntegrityError(
            f"{where}: expected the weights {header.weights[:12]} of recipe {header.recipe!r} it was made with, got "
            f"{digest[:12]}; pass the model directory that compressed it"
        )
    if header.coder == "small" and not model.codec.codes_small:
        raise IntegrityError(
            f"{where}: expected the state of the coder small it was made with, got a model without; pass the model "
            "directory that compressed it"
        )
    tables = model.codec.coding_digest(header.coder)
    if header.tables != tables[: len(header.tables)]:
        raise IntegrityError(
            f"{where}: expected the entropy tables {header.tables[:12]} it was made with, got {tables[:12]}; pass the "
            "model directory as it was before liveaction freeze changed it"
        )
    trees = model.codec.trees
    if header.tree >= len(trees):
        raise FormatError(
            f"{where}: expected one of the {len(trees)} trees of recipe {header.recipe!r}, got number {header.tree}"
        )
    codec = trees[header.tree]
    components = header.components if codec.own else 1
    found = header.shape[0] if not codec.own else 1, header.latent_channels, header.factors, header.components
    wanted = codec.channels, codec.latents * components, codec.packets.factors, components if codec.own else 0
    if found != wanted:
        raise FormatError(
            f"{where}: expected {wanted[0]} channels, {wanted[1]} latent channels, factors {wanted[2]} and {wanted[3]} "
            f"components, as recipe {header.recipe!r} has, got {found[0]}, {found[1]}, {found[2]} and {found[3]}"
        )
    _check_window(header, codec, max_voxels, where)
    return codec

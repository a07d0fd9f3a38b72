"""What a recipe may say: frozen pydantic models that refuse unknown keys.

Shape letters: C signal channels, D transformed axes, J levels per axis, P = prod 2**J bands,
E = C*P hidden width, L latent channels.
"""

from math import gcd, prod
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Levels = Annotated[int, Field(ge=0, le=12, strict=True)]
Block = Annotated[int, Field(ge=0, le=1024, strict=True)]
Continuation = Annotated[int, Field(ge=0, le=12, strict=True)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
LARGEST = 2.0**127
"""Of the ends of a range and of their distance: samples are made in float32."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100)]
Odd = Literal[1, 3, 5, 7]
Extent = Annotated[int, Field(strict=True)]
Line = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
"""A text that stands in messages."""

MOST_ENTRIES = 2**16
"""Of all tables and lists of a recipe together; an alias of YAML counts each time it stands."""


def refuse_programs(data: Any) -> None:
    """Refuse plain data with keys or texts that other tools run or fill in: ``_target_``, ``__class__``, ``${...}``.

    Raises:
        ValueError: there is such a key or text, or more than :data:`MOST_ENTRIES` entries.
    """
    left, seen = [data], 0
    while left:
        entry = left.pop()
        seen += 1
        if seen > MOST_ENTRIES:
            raise ValueError(f"expected at most {MOST_ENTRIES} entries, got more; aliases count each time they stand")
        if isinstance(entry, dict):
            for key in entry:
                if isinstance(key, str) and (key in PROGRAM_KEYS or key.startswith(("$", "__"))):
                    raise ValueError(
                        f"expected plain settings, got the key {key!r}, which looks like a program; remove it"
                    )
            left += [*entry, *entry.values()]
        elif isinstance(entry, list | tuple):
            left += entry
        elif isinstance(entry, str) and not _is_unicode(entry):
            raise ValueError(f"expected text that UTF-8 can hold, got {short(entry)}; write it without surrogates")
        elif isinstance(entry, str) and ("${" in entry or entry.startswith("!!")):
            raise ValueError(
                f"expected plain settings, got {entry[:80]!r}, which looks like a program; write its value"
            )


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def broken_rule(error: Any, name: str) -> str:
    """What was expected and what came, of one of the errors that pydantic lists, in one line of bounded length.

    Args:
        error: an entry of ``ValidationError.errors()``.
        name: of the setting, as ``--set`` takes it; empty where it takes none.
    """
    value, kind = error["input"], error["type"]
    if kind == "string_type" and isinstance(value, bool | int | float):
        word = "truth value" if isinstance(value, bool) else "number"
        example = f", as in --set \"{name}='{short(value)}'\"" if name and word == "number" else ""
        return f"expected a text, got the {word} {short(value)}; quotes make it one{example}"
    message = error["msg"].removeprefix("Value error, ")
    got = "" if kind in {"missing", "value_error"} else f", got {short(value)}"
    return f"{message[:1].lower()}{message[1:]}{got}"


def short(value: Any) -> str:
    """The ``repr`` of a value, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."


PROGRAM_KEYS = ("_target_", "_partial_", "_args_", "_recursive_", "_convert_")


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Percentiles(_Table):
    """A range taken from each signal: two percentiles of its values, kept in its stream."""

    percentiles: tuple[Percent, Percent]


class ModalitySpec(_Table):
    """Kind of signal: which reader, which axes are transformed, unit and value range.

    ``range`` maps onto [-1, 1]; values outside are clipped. It is [low, high] in the unit, ``native`` for all that the
    source's format can hold, or ``{percentiles: [low, high]}`` of each signal. ``options`` are the modality's own.
    ``channels`` 0 takes signals of any number of them, which an encoder with a basis of each signal's own can code.
    """

    name: Line
    axes: tuple[Line, ...] = Field(min_length=1, max_length=4)  # as many as there are contexts for
    channels: int = Field(default=1, ge=0)
    unit: Line = ""
    range: tuple[Finite, Finite] | Literal["native"] | Percentiles
    options: dict[str, Any] = Field(default_factory=dict)

    @field_validator("options")
    @classmethod
    def _plain(cls, value: dict[str, Any]) -> dict[str, Any]:
        refuse_programs(value)
        return value

    @field_validator("range")
    @classmethod
    def _ordered(cls, value: Any) -> Any:
        low, high = value.percentiles if isinstance(value, Percentiles) else (0, 1) if value == "native" else value
        if not low < high:
            raise ValueError(f"expected [low, high] with low < high, got {[low, high]}")
        if not max(abs(low), abs(high), high - low) <= LARGEST:
            raise ValueError(f"expected [low, high] within ±2**127, got {[low, high]}; scale the values")
        return value

    def takes(self, channels: int) -> bool:
        """Whether a signal may have so many channels: those of the recipe, or any number from 1 on where it says 0."""
        return channels >= 1 and self.channels in (0, channels)

    @property
    def values(self) -> str:
        """The shape of a signal's values as messages name it, such as ``[3, y, x]``; ``[C, y, x]`` of any channels."""
        return f"[{', '.join((str(self.channels or 'C'), *self.axes))}]"


def _check_kernel(kind: str, size: int) -> None:
    if size != 1 and kind != "paper":
        raise ValueError(f"expected kernel_size 1 for kind {kind}, got {size}; only paper blocks take 3")


class EncoderSpec(_Table):
    """Sensor side: ``depth`` residual blocks, then a projection E -> L.

    ``pointwise`` looks at one token only; ``paper`` normalises and pools over the whole input; ``linear`` has no
    blocks; ``sparse`` has no projection either: every coefficient of the transform is a latent; ``predicted`` is
    sparse, too, and small networks predict each part of a chunk from what is decoded of coarser ones.

    ``basis`` is that of such encoders' channels: ``none``; ``trained``, a rotation of the channels within each band,
    learnt from the training data; or ``own``, a KLT of each signal's own channels, which its stream carries.
    ``projection`` is ``dense`` (with a bias; takes the warm start) or ``monarch`` (no bias, as published).
    ``kernel_size`` 3 makes the Monarch factors of the ``paper`` blocks convolutions. ``layer_scale`` is what the
    ``pointwise`` blocks' factor per channel starts at under a random start (a warm one starts it at 0); null: none.
    ``width`` and ``kernels`` are those of the networks of kind ``predicted``: channels of their hidden layers, and the
    extent of each layer's kernels along the axes that a network refines.
    """

    kind: Literal["pointwise", "paper", "linear", "sparse", "predicted"] = "pointwise"
    basis: Literal["none", "trained", "own"] = "none"
    depth: int = Field(default=4, ge=0, le=64)
    projection: Literal["dense", "monarch"] = "dense"
    kernel_size: Literal[1, 3] = 1
    layer_scale: Positive | None = 0.1
    width: int = Field(default=16, ge=1, le=256)
    kernels: tuple[Odd, ...] = Field(default=(5, 3, 3), min_length=2, max_length=8)

    @property
    def sparse(self) -> bool:
        """Whether every coefficient is a latent."""
        return self.kind in ("sparse", "predicted")

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        _check_kernel(self.kind, self.kernel_size)
        if self.basis != "none" and not self.sparse:
            raise ValueError(f"expected basis none for kind {self.kind}, got {self.basis}; only sparse takes another")
        return self


class DecoderSpec(_Table):
    """Server side: ``vit`` (linear attention and MBConv), ``light`` and ``paper`` (Monarch blocks), or ``linear``.

    ``linear`` has no network. ``head_dim`` is the width of an attention head; null means one head as wide as the
    hidden vector. ``linear_path`` adds a dense map L -> E around the network. ``final_activation`` puts a GELU after
    the last norm of the MBConv, as published. ``kernel_size`` is that of ``paper`` blocks. ``width`` is that of a
    network behind a sparse encoder, which works on decoded samples; others are as wide as a token.
    """

    kind: Literal["vit", "light", "paper", "linear"] = "vit"
    depth: int = Field(default=8, ge=0, le=64)
    width: int = Field(default=32, ge=1, le=1024)
    head_dim: int | None = Field(default=32, ge=1)
    expansion: int = Field(default=6, ge=1, le=16)
    linear_path: bool = True
    final_activation: bool = False
    norm_eps: Positive = 1e-5
    kernel_size: Literal[1, 3] = 1

    @model_validator(mode="after")
    def _something(self) -> Self:
        _check_kernel(self.kind, self.kernel_size)
        if self.kind == "linear" and not self.linear_path:
            raise ValueError("a linear decoder is its linear path; set linear_path to true")
        return self


class QuantizerSpec(_Table):
    """``uniform``: one step for every latent. ``laplace``: companded to [-127, 127] with a learnt scale per channel.

    ``gaussian`` (WaLLoC): companded by the normal distribution function to symbols of ``bits`` bits. ``dead_zone``: how
    much of a step values are drawn towards 0 before they are rounded; the decoder need not know.
    """

    kind: Literal["uniform", "laplace", "gaussian"] = "uniform"
    step: Positive = 0.4
    bits: int = Field(default=8, ge=2, le=8)
    dead_zone: float = Field(default=0.0, ge=0, lt=0.5)

    @model_validator(mode="after")
    def _bits_belong_to_gaussian(self) -> Self:
        if self.bits != 8 and self.kind != "gaussian":
            raise ValueError(f"expected bits 8 for kind {self.kind}, got {self.bits}; only gaussian takes others")
        return self


class TreeSpec(_Table):
    """How the axes are split into bands.

    ``levels`` of wavelet packets, a number for all axes or one per axis. ``lapped`` is the block of a lapped DCT in
    their place, 0 where an axis takes packets; an axis with a block has ``levels`` 0. ``continuation`` splits the
    lowest band of a sparse encoder further, inside each chunk: how many times along all axes, or a list of steps with
    1 for every axis that a step splits.
    """

    levels: Levels | tuple[Levels, ...] = 3
    lapped: Block | tuple[Block, ...] = 0
    continuation: Continuation | tuple[tuple[Literal[0, 1], ...], ...] = 0

    def levels_per_axis(self, axes: int) -> tuple[int, ...]:
        """J for each of ``axes`` axes."""
        return _per_axis("levels", self.levels, axes)

    def blocks_per_axis(self, axes: int) -> tuple[int, ...]:
        """The block of each axis's lapped DCT, 0 where it takes packets."""
        return _per_axis("lapped", self.lapped, axes)

    def factors(self, axes: int) -> tuple[int, ...]:
        """F, samples per token along each axis."""
        pairs = zip(self.levels_per_axis(axes), self.blocks_per_axis(axes), strict=True)
        return tuple(block or 2**level for level, block in pairs)

    def bands(self, axes: int) -> int:
        """P, the number of bands per channel."""
        return prod(self.factors(axes))

    def steps(self, axes: int) -> tuple[tuple[int, ...], ...]:
        """The steps of the continuation, each with 1 for the axes that it splits."""
        if isinstance(self.continuation, int):
            return ((1,) * axes,) * self.continuation
        return self.continuation

    def refinements(self, axes: int) -> tuple[tuple[int, ...], ...]:
        """What makes the parts of a chunk that are predicted, from coarse to fine, each with 1 for the axes it splits.

        First the steps of the continuation, backwards; then the octaves of the bands of a token, of which the coarsest
        splits all axes, and those behind it the axes that have bands left.
        """
        depths = [factor.bit_length() - 1 for factor in self.factors(axes)]
        octaves = (tuple(int(k < depth) for depth in depths) for k in range(max(depths)))
        return (*reversed(self.steps(axes)), *octaves)

    def check_axes(self, axes: int) -> None:
        """Refuse settings that do not belong to ``axes`` axes.

        Raises:
            ValueError: with the setting's name in front.
        """
        for level, block in zip(self.levels_per_axis(axes), self.blocks_per_axis(axes), strict=True):
            if level and block:
                raise ValueError(f"codec.lapped: expected levels 0 where a block is {block}, got {level}")
        for step in self.steps(axes):
            if len(step) != axes or not any(step):
                raise ValueError(
                    f"codec.continuation: expected steps of {axes} entries, 1 where an axis is split, got {list(step)}"
                )


def _per_axis(name: str, value: int | tuple[int, ...], axes: int) -> tuple[int, ...]:
    if isinstance(value, int):
        return (value,) * axes
    if len(value) != axes:
        raise ValueError(f"codec.{name}: expected one number or one per axis ({axes}), got {list(value)}")
    return value


class CodecSpec(TreeSpec):
    """The codec between tensors; knows nothing of files or units.

    ``boundary`` folded and ``packet_order`` paper are what the published codecs compute: a periodic axis whose tail is
    folded back once, which is not invertible where an axis is shorter than the filter at some level, and on three axes
    a permutation of the channels after each level. ``latent_channels`` is null for a sparse encoder, whose latents are
    all coefficients. ``trees`` are further ways to split the axes: of them and of the codec's own, ``compress`` takes
    the one that costs a signal least.
    """

    latent_channels: int | None = Field(default=None, ge=1)
    wavelet: str = "bior4.4"
    boundary: Literal["symmetric", "periodic", "folded"] = "symmetric"
    packet_order: Literal["level", "paper"] = "level"
    compand: bool = False
    trees: Annotated[tuple[TreeSpec, ...], Field(max_length=7)] = ()
    encoder: EncoderSpec = EncoderSpec()
    decoder: DecoderSpec = DecoderSpec()
    quantizer: QuantizerSpec = QuantizerSpec()
    compute_dtype: Literal["float32", "bfloat16"] = "float32"

    def tree(self, number: int) -> "CodecSpec":
        """The codec with one tree alone: 0 its own, then ``trees`` in order."""
        own = self.model_copy(update={"trees": ()})
        return own.model_copy(update=dict(self.trees[number - 1])) if number else own

    def fold(self, axes: int) -> tuple[int, ...]:
        """Samples per axis to a token of a network behind a sparse encoder: 2 where that divides all trees' tokens."""
        factors = [tree.factors(axes) for tree in (self, *self.trees)]
        return tuple(gcd(2, *(each[axis] for each in factors)) for axis in range(axes))

    @model_validator(mode="after")
    def _sparse_belongs_together(self) -> Self:
        sparse = self.encoder.sparse
        if sparse and self.latent_channels is not None:
            raise ValueError(
                f"latent_channels: expected none for kind sparse, got {self.latent_channels}; leave it out"
            )
        if not sparse and self.latent_channels is None:
            raise ValueError(f"latent_channels: expected a number for kind {self.encoder.kind}, got none")
        if sparse and (self.compand or self.quantizer.kind != "uniform"):
            raise ValueError("encoder.kind: sparse needs compand false and quantizer.kind uniform")
        if sparse and not self.decoder.linear_path:
            raise ValueError("encoder.kind: sparse needs a decoder with a linear path; set decoder.linear_path to true")
        if self.encoder.kind == "predicted":
            self._check_predicted()
        if sparse and self.decoder.kind == "paper":
            raise ValueError("encoder.kind: sparse needs a decoder of kind linear, light or vit, got paper")
        if not sparse and (self.trees or self.continuation):
            raise ValueError(
                f"expected neither trees nor a continuation for kind {self.encoder.kind}; only sparse takes them"
            )
        return self

    def _check_predicted(self) -> None:
        if self.boundary != "symmetric":
            raise ValueError(f"encoder.kind: predicted needs boundary symmetric, got {self.boundary}")
        for tree in (self, *self.trees):
            blocks = _listed(tree.lapped)
            if any(block & (block - 1) for block in blocks):
                raise ValueError(f"lapped: expected blocks of a power of two for kind predicted, got {tree.lapped}")
            if not (any(_listed(tree.levels)) or any(blocks) or tree.continuation):
                raise ValueError("levels: expected some, a block or a continuation for kind predicted, got none")


def _listed(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else value


class TrainSpec(_Table):
    """How the codec is trained.

    ``crop`` lists the extents that crops grow through, each a multiple of 2**J: a number for all axes, or a list of one
    per axis. ``mirror`` names axes along which the warm start counts every signal's mirror image as well, so that a
    flip of a signal is one of its latents. ``detail`` is how much the warm start prefers packets of little variance to
    what is coarse: 0 is the KLT, 1 counts errors by the share of each packet's variance. ``classes`` is how much it
    prefers packets whose energy tells the classes of labelled signals apart: 0 not at all, 1 counts errors by the share
    of that energy's variance which classes explain.
    """

    steps: int = Field(default=2000, ge=0, le=10**12)
    batch: int = Field(default=2, ge=1)
    crop: tuple[Extent | tuple[Extent, ...], ...] = Field(default=(48,), min_length=1)
    start: Literal["warm", "random"] = "warm"
    warm_crops: int = Field(default=256, ge=1)
    mirror: tuple[str, ...] = ()
    detail: float = Field(default=0.0, ge=0, le=1)
    classes: float = Field(default=0.0, ge=0, le=1)
    rate: Literal["local", "gaussian", "channel", "global"] = "local"
    rate_weight: float = Field(default=0.01, ge=0, allow_inf_nan=False)
    freeze_at: float = Field(default=0.7, ge=0, le=1)
    optimizer: str = "cmars"
    learning_rate: Positive = 0.002
    schedule_power: int = Field(default=6, ge=1)
    validate_every: int = Field(default=250, ge=1)
    checkpoint_every: int = Field(default=500, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**63)


class Recipe(_Table):
    """One YAML file: modality, codec, training.

    Example:
        >>> import liveaction
        >>> recipe = liveaction.load_recipe("ct_light")
        >>> recipe.axes, recipe.codec.levels, recipe.modality.unit
        (3, 3, 'HU')
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    description: str = ""
    modality: ModalitySpec
    codec: CodecSpec
    training: TrainSpec = TrainSpec()

    @property
    def axes(self) -> int:
        """D, the number of transformed axes."""
        return len(self.modality.axes)

    @property
    def crops(self) -> tuple[tuple[int, ...], ...]:
        """The extents that training crops grow through, one per axis each."""
        return tuple((crop,) * self.axes if isinstance(crop, int) else crop for crop in self.training.crop)

    @property
    def hidden(self) -> int:
        """E = C*P, the width of a token."""
        return self.channels * self.codec.bands(self.axes)

    @property
    def channels(self) -> int:
        """C of the codec: the signal's, or 1 where each component of an own basis is coded by itself."""
        return 1 if self.codec.encoder.basis == "own" else self.modality.channels

    @property
    def latents(self) -> int:
        """L, the latent channels of a token."""
        return self.codec.latent_channels or self.hidden

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.modality.channels == 0 and self.codec.encoder.basis != "own":
            raise ValueError("modality.channels: expected at least 1, got 0; any number needs codec.encoder.basis own")
        levels, factors = self.codec.levels_per_axis(self.axes), self.codec.factors(self.axes)
        for tree in (self.codec, *self.codec.trees):
            tree.check_axes(self.axes)
        if self.codec.packet_order == "paper" and len(set(levels)) > 1:
            raise ValueError(f"codec.packet_order: paper needs one number of levels for all axes, got {list(levels)}")
        if 3 in (self.codec.encoder.kernel_size, self.codec.decoder.kernel_size) and self.axes > 3:
            raise ValueError(f"kernel_size: expected 1 on {self.axes} axes, got 3; convolutions have at most 3 axes")
        if self.latents > self.hidden:
            raise ValueError(
                f"codec.latent_channels: expected at most the hidden width {self.hidden}, got "
                f"{self.codec.latent_channels}"
            )
        for crop, extents in zip(self.training.crop, self.crops, strict=True):
            got = crop if isinstance(crop, int) else list(crop)
            if len(extents) != self.axes:
                raise ValueError(f"training.crop: expected a number, or one for each of {self.axes} axes, got {got}")
            if any(n % factor or n < factor for n, factor in zip(extents, factors, strict=True)):
                raise ValueError(f"training.crop: expected multiples of the factors {list(factors)}, got {got}")
        warm = self.training.start == "warm"
        if warm and (self.codec.encoder.projection != "dense" or not self.codec.decoder.linear_path):
            raise ValueError(
                "training.start: warm needs codec.encoder.projection dense and codec.decoder.linear_path true; "
                "change those, or set start to random"
            )
        if warm and (self.codec.compand or self.codec.quantizer.kind != "uniform"):
            raise ValueError(
                "training.start: warm needs codec.compand false and codec.quantizer.kind uniform; "
                "change those, or set start to random"
            )
        for name in ("detail", "classes"):
            share = getattr(self.training, name)
            if share and (self.codec.encoder.sparse or not warm):
                raise ValueError(
                    f"training.{name}: expected 0 without a warm start of fewer latents than packets, got {share:g}"
                )
        self._check_mirror()
        return self

    def _check_mirror(self) -> None:
        """Refuse axes to mirror where a flip would not hold to the end of training."""
        mirror, names = self.training.mirror, list(self.modality.axes)
        if len(set(mirror)) < len(mirror) or not set(mirror) <= set(names):
            raise ValueError(f"training.mirror: expected axes among {names}, each once, got {list(mirror)}")
        if not mirror:
            return
        if self.codec.encoder.kind != "linear" or self.training.start != "warm":
            raise ValueError(
                "training.mirror: expected codec.encoder.kind linear and training.start warm, got "
                f"{self.codec.encoder.kind} and {self.training.start}; a sparse encoder needs no mirror, and others "
                "do not keep it"
            )
        if self.training.steps and self.training.freeze_at:
            raise ValueError(
                "training.mirror: expected training.steps 0, or training.freeze_at 0 so that the decoder alone learns, "
                f"got {self.training.steps} steps and {self.training.freeze_at}; no learning encoder keeps it"
            )

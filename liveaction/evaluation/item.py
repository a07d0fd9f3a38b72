"""One signal coded there and back by one codec at one setting: what an evaluation measures, kept as a JSON file."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Table(BaseModel):
    # a lossless codec has an infinite PSNR, which JSON writes as text
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Seconds(_Table):
    """Median, least and most of ``runs`` timed calls, after a warm-up."""

    median: float
    least: float
    most: float
    runs: int


class Spent(_Table):
    """Seconds on the clock, and processor seconds of all threads of the process together."""

    wall: Seconds
    cpu: Seconds


class Pace(_Table):
    """How much signal an item holds in the unit of its field: 7.1 Mvoxel, 24 frames, 3.2 s of sound."""

    amount: float
    unit: str


class Source(_Table):
    """What was coded.

    Attributes:
        name: of the file below the data folder, and ``digest`` its SHA-256; of a folder, of all its files.
        part: what was cut from it, empty where it is whole.
        shape: ``[C, *S]``; ``axes`` names S.
        dtype: native, ``bits`` of a value: ratios are on these.
        limits: range in ``unit`` onto which PSNR is stated; values outside were clipped for every codec alike.
    """

    name: str
    digest: str
    part: str = ""
    shape: tuple[int, ...]
    axes: tuple[str, ...]
    dtype: str
    bits: int
    unit: str
    limits: tuple[float, float]

    def holds_as(self, other: "Source") -> bool:
        """Whether both have the same values in the same order: channels of one may be an axis of the other."""
        sizes = [[n for n in source.shape if n > 1] for source in (self, other)]
        return sizes[0] == sizes[1] and self.model_copy(update={"shape": other.shape, "axes": other.axes}) == other

    @property
    def label(self) -> str:
        """Name and part."""
        return f"{self.name} {self.part}".strip()


class Verdict(_Table):
    """What a judge said of one decoded signal, or of an original.

    Attributes:
        judge: its name, ``title`` as reports show it, ``identity`` all that its answers depend on.
        measure: what ``score`` is, 0 to 1.
        label: what the item is; ``prediction`` what the judge took it for.
    """

    judge: str
    title: str
    identity: str
    measure: str
    label: str
    prediction: str
    score: float


class Reference(_Table):
    """What a judge said of an original, and of an eighth of its resolution in ``eighth_bytes``."""

    format: Literal[1] = 1
    source: Source
    original: Verdict
    eighth: Verdict
    eighth_bytes: int


class Measurement(_Table):
    """One measurement.

    Attributes:
        curve: codecs of one curve are one family; ``codec`` is the one among them.
        kind: ``model`` is ours, or trained by our loop.
        seed: of the training; None for baselines.
        setting: what ``value`` is: "quantiser step", "CRF", ...
        weights: digest of weights and entropy tables; ``recipe`` the recipe's name; ``library`` what coded a baseline.
        bytes: container and side information included; ``ratio`` on native bits; ``bits_per_element``.
        metrics: as ``Modality.compare`` gives them; ``curves`` as ``Modality.curves``.
        encode, decode: tensors there and back; of a baseline everything. ``entropy_coding`` and ``entropy_decoding``:
            latents to bytes and back, beside them; None where the library does not tell them apart.
        verdict: what a judge said; its score is in ``metrics``, too. None where nobody was asked.
        macs: multiply-accumulates per element, "encode" and "decode", wavelets included; None where nobody counts.
        device, dtype: where our codecs ran, and the type of their products.
        transfers: what moving data to a device and back took part in.
        circumstances: device, versions, commit.
    """

    format: Literal[1] = 1
    curve: str
    codec: str
    kind: Literal["model", "baseline"]
    seed: int | None = None
    setting: str
    value: float
    weights: str | None = None
    recipe: str | None = None
    library: str | None = None
    source: Source
    bytes: int
    ratio: float
    bits_per_element: float
    metrics: dict[str, float]
    curves: dict[str, list[float]] = Field(default_factory=dict)
    verdict: Verdict | None = None
    encode: Spent
    decode: Spent
    entropy_coding: Spent | None = None
    entropy_decoding: Spent | None = None
    pace: Pace
    macs: dict[str, float] | None = None
    device: str = "cpu"
    dtype: str = "float32"
    transfers: str
    threads: int
    circumstances: dict[str, Any]

    def seconds(self, way: Literal["encode", "decode"], clock: Literal["wall", "cpu"] = "wall") -> float:
        """Median seconds from signal to bytes, or back, entropy coding included."""
        stages = (self.encode, self.entropy_coding) if way == "encode" else (self.decode, self.entropy_decoding)
        return sum((stage.wall if clock == "wall" else stage.cpu).median for stage in stages if stage is not None)

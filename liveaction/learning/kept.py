"""A trained head in a folder: ``head.json``, what it is and takes, and ``head.safetensors``, its weights. No pickle."""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import nn

from liveaction.codec.tensors import UNREADABLE, read_tensors, save_tensors
from liveaction.codec.weights import write_json
from liveaction.errors import FormatError, IntegrityError, LiveactionError, ShapeError, SpecError
from liveaction.files import atomic_path, read_small
from liveaction.learning.adapt import adapt_timm, monai_net
from liveaction.learning.inputs import InputSpec
from liveaction.learning.nets import token_net
from liveaction.learning.resampling import resampled
from liveaction.registry import build_modality
from liveaction.signal import Signal
from liveaction.spec import ModalitySpec, broken_rule
from liveaction.strict_json import read_json_bytes

CONFIG, WEIGHTS = "head.json", "head.safetensors"
LONGEST_CONFIG = 1 << 24
BUILDERS = {"tokens": token_net, "timm": adapt_timm, "monai": monai_net}


class Takes(BaseModel):
    """What a head takes.

    Attributes:
        kind: ``samples``, or the dequantised ``latents`` of a model.
        modality: of the signals, as a recipe has it.
        normalised: samples are mapped onto [-1, 1] by the modality's range first; otherwise they are in the unit.
        reduction: samples that become one along every axis.
        model: digest of the model whose latents it takes.
        step: that they were rounded with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["samples", "latents"]
    modality: ModalitySpec
    normalised: bool = False
    reduction: int = Field(default=1, ge=1)
    model: str = ""
    step: float = Field(default=0.0, ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _belongs_together(self) -> "Takes":
        if (self.kind == "latents") != bool(self.model):
            raise ValueError(f"expected the digest of a model for latents alone, got {self.model!r} for {self.kind}")
        return self


class HeadTable(BaseModel):
    """``head.json``: ``network`` has a ``kind``, ``tokens``, ``timm`` or ``monai``, and its builder's arguments."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    digest: str
    network: dict[str, Any]
    spec: InputSpec
    takes: Takes


class Head:
    """A trained head, ready to use.

    Attributes:
        net: in evaluation mode, on the CPU.
        spec: of its inputs.
        takes: see :class:`Takes`.
    """

    def __init__(self, net: nn.Module, spec: InputSpec, takes: Takes) -> None:
        self.net, self.spec, self.takes = net.eval().requires_grad_(False), spec, takes

    @property
    def modality(self) -> str:
        """Name of the modality that it learnt from."""
        return self.takes.modality.name

    @property
    def names(self) -> tuple[str, ...]:
        """Of the classes; their numbers where nobody gave names."""
        return self.spec.names or tuple(map(str, range(self.spec.outputs)))

    def predict(self, values: NDArray[Any]) -> NDArray[Any]:
        """What the head says of signals.

        Args:
            values: ``[N, C, *S]`` in the unit.

        Returns:
            The index of a class for each of N, ``[N]``; of maps for each position, ``[N, *]``; where labels are
            numbers those, ``[N, K]``.

        Raises:
            SpecError: the head takes latents.
            ShapeError: other channels or axes.
        """
        if self.takes.kind != "samples":
            raise SpecError(
                f"head: expected one that learnt from samples, got one of latents of model {self.takes.model[:12]}; "
                "encode the signals, and call predict_latents"
            )
        self._check(values)
        return self._said([self._prepared(item) for item in values])

    def predict_latents(self, latents: NDArray[Any] | torch.Tensor) -> NDArray[Any]:
        """What the head says of dequantised latents ``[N, L, *G]``; as :meth:`predict`.

        Raises:
            SpecError: the head takes samples.
            ShapeError: other channels or axes.
        """
        if self.takes.kind != "latents":
            raise SpecError("head: expected one that learnt from latents, got one of samples; call predict")
        given = torch.as_tensor(latents).cpu()
        self._check(given)
        return self._said(list(given.float()))

    @cached_property
    def _modality(self) -> Any:
        return build_modality(self.takes.modality)

    def _check(self, values: Any) -> None:
        wanted = len(self.spec.grid) + 2
        if values.ndim != wanted or values.shape[1] != self.spec.channels:
            raise ShapeError(
                f"head: expected [N, {self.spec.channels}, *] with {wanted - 2} axes, got {tuple(values.shape)}"
            )

    def _prepared(self, item: NDArray[Any]) -> torch.Tensor:
        values = resampled(item, self.takes.reduction)
        if not self.takes.normalised:
            return torch.from_numpy(np.array(values, np.float32))
        axes = self.takes.modality.axes
        unit = self.takes.modality.unit
        signal = Signal(values, axes, unit, (1.0,) * len(axes), values.dtype.name)
        found: torch.Tensor = self._modality.normalise(values, self._modality.range_of(signal))
        return found

    @torch.no_grad()
    def _said(self, items: list[torch.Tensor]) -> NDArray[Any]:
        if not items:
            return np.zeros(0, np.int64)
        said = torch.cat([self.net(item[None]) for item in items])
        found: NDArray[Any] = (said if self.spec.task == "number" else said.argmax(1)).numpy()
        return found


def build_net(network: Mapping[str, Any], spec: InputSpec) -> nn.Module:
    """The network of a table with a ``kind`` and the arguments of its builder.

    Raises:
        SpecError: another kind, or arguments that the builder does not take.
    """
    options = dict(network)
    kind = options.pop("kind", "tokens")
    if kind not in BUILDERS:
        raise SpecError(f"network.kind: expected one of {', '.join(BUILDERS)}, got {kind!r}")
    leading = () if kind == "tokens" else (options.pop("name", ""),)
    try:
        built: nn.Module = BUILDERS[kind](*leading, spec=spec, **options)  # type: ignore[operator]
    except TypeError as error:
        raise SpecError(f"network: expected arguments of {kind}, got {sorted(options)}: {error}") from error
    return built


def save_head(folder: str | Path, net: nn.Module, spec: InputSpec, network: Mapping[str, Any], takes: Takes) -> str:
    """Keep a trained head; the folder appears whole, or not at all.

    Args:
        folder: takes the place of one that is there.
        net: that :func:`build_net` makes of ``network`` and ``spec``.
        spec: of its inputs.
        network: ``kind`` (``tokens`` where it is left out) and the arguments of its builder, as plain data.
        takes: what it takes.

    Returns:
        The digest of its weights, 64 hex digits.

    Raises:
        SpecError: ``network`` makes another network.
        WriteError: the folder cannot be written.

    Example:
        >>> statistics = {"mean": (0,), "deviation": (1,), "least": (-4,), "most": (4,)}
        >>> table = {"channels": 1, "grid": (64,), "axes": ("t",), "factors": (1,)}
        >>> spec = InputSpec(**table, task="class", outputs=2, names=("yes", "no"), statistics=statistics)
        >>> takes = Takes(kind="samples", modality=ModalitySpec(name="array", axes=("t",), range=(-1, 1)))
        >>> digest = save_head("head", token_net(spec, patch=8), spec, {"patch": 8}, takes)
        >>> load_head("head").predict(np.zeros((3, 1, 64))).shape
        (3,)
    """
    plain = {"kind": "tokens", **{name: _plain(value) for name, value in network.items()}}
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in net.state_dict().items()}
    with torch.random.fork_rng(devices=[]):
        same = build_net({**plain, "pretrained": None} if "pretrained" in plain else plain, spec).state_dict()
    if _shapes(same) != _shapes(state):
        raise SpecError("network: expected the arguments that the network was built with, got those of another one")
    plain.pop("pretrained", None)  # its own weights come along
    with atomic_path(Path(folder)) as part:
        part.mkdir()
        save_tensors(state, part / WEIGHTS)
        digest = _digest(part / WEIGHTS)
        table = HeadTable(digest=digest, network=plain, spec=spec, takes=takes)
        write_json(table.model_dump(mode="json"), part / CONFIG)
    return digest


def load_head(folder: str | Path) -> Head:
    """Read a head that :func:`save_head` kept.

    Raises:
        FormatError: there is none, or of a format that this version does not know.
        IntegrityError: its weights are not those that ``head.json`` was written with.
    """
    place = Path(folder)
    table, path = _table(place), place / WEIGHTS
    try:
        net = build_net(table.network, table.spec)
        state = read_tensors(path, _shapes(net.state_dict()), "the weights of the head")
        net.load_state_dict(state)
    except LiveactionError:
        raise
    except UNREADABLE as error:
        line = " ".join(str(error).split())[:200]
        raise FormatError(f"{path}: expected the weights of the head, got {line}; keep it again") from error
    digest = _digest(path)
    if digest != table.digest:
        raise IntegrityError(
            f"{path}: expected weights {table.digest[:12]}, got {digest[:12]}; the file was changed after it was "
            "saved, take the original"
        )
    return Head(net, table.spec, table.takes)


def _table(folder: Path) -> HeadTable:
    path = folder / CONFIG
    expected = f"a folder of a head with a readable {CONFIG}"
    try:
        return HeadTable.model_validate(read_json_bytes(read_small(path, LONGEST_CONFIG), str(folder), expected))
    except OSError as error:
        line = error.strerror or error
        raise FormatError(f"{folder}: expected {expected}, got {line}; liveaction probe --keep makes one") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise FormatError(f"{path}: {where}: {broken_rule(first, '')}; use the version that wrote it") from error


def _shapes(state: Mapping[str, torch.Tensor]) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {name: (str(each.dtype).removeprefix("torch."), tuple(each.shape)) for name, each in state.items()}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value

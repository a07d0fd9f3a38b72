"""Profile a codec: right against float64, then time, throughput and memory, as a whole and stage by stage."""

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import torch

from liveaction.codec.device import choose_dtype
from liveaction.codec.model import Codec, build_codec
from liveaction.codec.weights import load_model
from liveaction.coding.quantize import to_symbols
from liveaction.errors import SpecError
from liveaction.profiling.circumstances import circumstances
from liveaction.profiling.codec_stages import StageRow, time_stages, walk_decode, walk_encode
from liveaction.profiling.measure import interleaved, peak_memory, write_trace
from liveaction.recipe import load_recipe
from liveaction.spec import Recipe
from liveaction.training.loss import distortion, rate

DTYPES = ("float32", "bfloat16")
GATE_TOKENS = 6
"""Correctness is checked on a crop of at most so many tokens per axis: float64 takes much memory."""
LIMITS = {torch.float32: 1e-4, torch.bfloat16: 0.1}
"""Relative root-mean-square error allowed to a whole codec."""

Say = Callable[[str], None]


@dataclass
class CodecReport:
    """Everything one command found; ``asdict`` of it is the record."""

    recipe: str
    shape: list[int]
    dtype: str
    device: str
    circumstances: dict[str, Any]
    gate: dict[str, Any] = field(default_factory=dict)
    rows: list[StageRow] = field(default_factory=list)
    format: int = 1

    @property
    def red(self) -> bool:
        """Whether the codec is not what it is in float64."""
        return bool(self.gate.get("verdict") != "green")

    def record(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)


@dataclass(frozen=True)
class CodecOptions:
    """What the command asks for; see its help. An empty ``dtype`` is the recipe's."""

    dtype: str = ""
    device: str = "cpu"
    backward: bool = False
    rounds: int = 10
    trace: Path | None = None

    def __post_init__(self) -> None:
        if self.dtype not in ("", *DTYPES):
            raise SpecError(f"--dtype: expected one of {', '.join(DTYPES)}, got {self.dtype!r}")
        if self.rounds < 1:
            raise SpecError(f"--rounds: expected a positive number, got {self.rounds}")


def profile_codec(
    source: str, extents: tuple[int, ...], options: CodecOptions, say: Say = lambda text: None
) -> CodecReport:
    """Check and measure the codec of a recipe (random weights, which cost the same) or of a model directory.

    Args:
        source: what ``liveaction check`` takes.
        extents: S of one signal of random numbers.

    Raises:
        SpecError: ``extents`` does not fit the recipe's axes.
    """
    say(f"making the codec of {source}")
    codec, recipe = _load(source)
    if len(extents) != recipe.axes or min(extents) < 1:
        raise SpecError(f"--shape: expected {recipe.axes} positive extents {recipe.modality.axes}, got {extents}")
    codec.compute_dtype = choose_dtype(options.dtype, recipe)
    device = torch.device(options.device)
    codec.to(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    dtype = str(codec.compute_dtype).removeprefix("torch.")
    report = CodecReport(recipe.name, [1, codec.channels, *extents], dtype, name, circumstances())
    say("checking against float64")
    report.gate = _gate(codec, extents, device)
    if report.gate["verdict"] != "green":
        return report
    x = torch.rand((1, codec.channels, *extents), device=device) * 2 - 1
    _measure(codec, recipe, x, options, report, say)
    return report


def _load(source: str) -> tuple[Codec, Recipe]:
    if Path(source).is_dir():
        codec, recipe, _ = load_model(source)
        return codec, recipe
    recipe = load_recipe(source)
    return build_codec(recipe).eval(), recipe


@torch.no_grad()
def _gate(codec: Codec, extents: tuple[int, ...], device: torch.device) -> dict[str, Any]:
    """Latents and reconstruction on a crop, against a copy of the codec in float64 on the same device."""
    small = tuple(min(n, GATE_TOKENS * factor) for n, factor in zip(extents, codec.packets.factors, strict=True))
    x = torch.rand((1, codec.channels, *small), device=device) * 2 - 1
    truth = copy.deepcopy(codec).double()
    truth.compute_dtype = torch.float32  # no autocast: everything stays float64
    latents, right = codec.encode(x), truth.encode(x.double())
    step = codec.quantizer.step
    companded = step * to_symbols(truth.quantizer.compand(right), step)
    back, whole = codec.synthesise(companded.float(), small), truth.synthesise(companded, small)
    limit = LIMITS[codec.compute_dtype]
    errors = {"latents": _relative(latents, right), "reconstruction": _relative(back, whole)}
    wrong = [f"{name} {error:.1e}" for name, error in errors.items() if not error <= limit]
    verdict = f"expected a relative error of {limit:.0e} at most, got {', '.join(wrong)}" if wrong else "green"
    return {"verdict": verdict, "shape": list(x.shape), "limit": limit, **errors}


def _relative(found: torch.Tensor, right: torch.Tensor) -> float:
    return float((found.double() - right).square().mean().sqrt() / right.square().mean().sqrt().clamp(min=1e-30))


def _measure(
    codec: Codec, recipe: Recipe, x: torch.Tensor, options: CodecOptions, report: CodecReport, say: Say
) -> None:
    device, extents = x.device, tuple(x.shape[2:])
    samples = prod(x.shape)
    with torch.no_grad():
        symbols = codec.to_symbols(x)
        wholes: dict[str, Callable[[], Any]] = {
            "encode": lambda: codec.to_symbols(x),
            "decode": lambda: codec.decode(symbols, extents),
        }
        say("timing encode and decode")
        report.rows += _wholes(wholes, device, samples, options.rounds)
        for part, walk in (
            ("encode", partial(walk_encode, codec, x)),
            ("decode", partial(walk_decode, codec, symbols, extents)),
        ):
            say(f"timing the stages of {part}")
            report.rows += time_stages(part, codec, walk, device, samples, options.rounds)
    if options.backward:
        say("timing a training step")
        codec.requires_grad_(True)
        wholes["train"] = partial(_training_step, codec, recipe, x)
        report.rows += _wholes({"train": wholes["train"]}, device, samples, options.rounds)
        codec.requires_grad_(False)
    if options.trace is not None:
        for part in ("encode", "decode"):
            say(f"tracing {part}")
            with torch.no_grad():
                write_trace(wholes[part], options.trace / f"trace_{report.recipe}_{part}.json", device)


def _training_step(codec: Codec, recipe: Recipe, x: torch.Tensor) -> None:
    """Forward, loss and backward of one optimisation step, without the optimiser."""
    spec = recipe.training
    out = codec(x)
    loss = distortion(x, out.reconstruction)
    loss = loss + spec.rate_weight * rate(out.companded, codec.quantizer.step, spec.rate)
    codec.zero_grad(set_to_none=True)
    loss.backward()


def _wholes(runs: dict[str, Callable[[], Any]], device: torch.device, samples: int, rounds: int) -> list[StageRow]:
    times = interleaved(runs, device, rounds)
    rows = []
    for name, timing in times.items():
        label = "forward, loss, backward" if name == "train" else "whole"
        rate_of = samples / timing.median_us
        peak = peak_memory(runs[name], device)
        rows.append(StageRow(name, label, **asdict(timing), msamples_s=rate_of, peak_bytes=peak))
    return rows

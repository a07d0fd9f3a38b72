"""What verbs say of damage, and of how close a reconstruction is."""

from typing import TYPE_CHECKING, Any

from liveaction.cli.printing import say

if TYPE_CHECKING:
    from liveaction.codec.clock import Timings
    from liveaction.codec.header import StreamHeader

from liveaction.cli.options import percent


def damage_fields(damage: Any, axes: tuple[str, ...]) -> dict[str, Any]:
    """A damaged chunk for JSON."""
    ranges = {axis: list(bounds) for axis, bounds in zip(axes, damage.samples, strict=True)}
    return {"chunk": damage.chunk, "samples": ranges, "reason": damage.reason}


def report_damage(damaged: list[Any], axes: tuple[str, ...], where: str, outcome: str) -> None:
    """A line per damaged chunk on standard error."""
    for damage in damaged:
        place = ", ".join(f"{a} {low}:{high}" for a, (low, high) in zip(axes, damage.samples, strict=True))
        say(f"{where}: chunk {damage.chunk} is damaged, samples {place}; {outcome}", err=True)


def promised(header: "StreamHeader") -> str:
    """What a stream promises of every value, to stand behind something else."""
    return "" if header.bound is None else f", {header.bound.text(header.unit)}"


def pace_text(values: int, spent: "Timings") -> str:
    """Values per second of tensors and entropy coding together."""
    pace = values / max(spent.tensors + spent.coding, 1e-9)
    for unit, size in (("Msamples/s", 1e6), ("ksamples/s", 1e3)):
        if pace >= size:
            return f"{pace / size:.3g} {unit}" if pace < 1000 * size else f"{pace / size:,.0f} {unit}"
    return f"{pace:.3g} samples/s"


def closeness_text(measured: dict[str, float], unit: str, limits: tuple[float, float]) -> list[str]:
    """What a modality compares: differences of values in one line, likeness and its own measures in another."""
    from liveaction.evaluation.measures import MAIN, MEASURES

    left = dict(measured)

    def said(name: str) -> str:
        value, known = left.pop(name), MEASURES.get(name)
        return f"{known.label} {known.text(value, unit)}" if known else f"{name.replace('_', ' ')} {value:.4g}"

    (low, high), of = limits, f" {unit}" if unit else ""
    values = [f"{said(MAIN)} (range {low:g} to {high:g}{of}, that is peak to peak 2)"]
    values += [said(name) for name in ("rmse", "p999_error", "max_error") if name in left]
    if clipped := left.pop("clipped_share", 0.0):
        values.append(f"{percent(clipped)} of the values clipped")
    scales = left.pop("ms_ssim_scales", 0.0)
    rest = [said(name) + (f" ({scales:.0f} scales)" if name == "ms_ssim" else "") for name in list(left)]
    return [", ".join(values), *([f"  {', '.join(rest)}"] if rest else [])]

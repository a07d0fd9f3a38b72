"""Reports on the terminal and on disk."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from liveaction.errors import escaped
from liveaction.files import atomic_path
from liveaction.profiling.codec import CodecReport
from liveaction.profiling.codec_stages import StageRow
from liveaction.profiling.records import Report, Row

RECORD = "profile.json"


def write_json(data: Any, path: Path) -> Path:
    """Write readable JSON, atomically; returns the path."""
    with atomic_path(path) as part:
        part.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    return path


def print_kernels(report: Report, console: Console) -> None:
    """Ceilings, a table per operation, shape and dtype, what was left out, what is red."""
    where = report.circumstances
    console.print(f"{where['gpu'] or where['cpu']}, {where['threads']} threads; torch {where['torch']}")
    for top in report.ceilings:
        console.print(
            f"ceilings measured now: copy {top['copy_gb_s']:.1f} GB/s (read + written), {top['dtype']} product "
            f"{_rate(top['matmul_tflop_s'])} at {top['matmul_extent']}^3"
        )
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in report.rows:
        groups.setdefault((row.op, *row.shape, row.dtype, row.mode), []).append(row)
    for rows in groups.values():
        console.print()
        console.print(_kernel_table(rows))
    for row in report.red:
        console.print(escaped(f"red: {row.op} {row.provider} {row.mode}: {row.gate}"), style="red")
    for line in _left_out(report):
        console.print(escaped(line), style="dim")


def _left_out(report: Report) -> list[str]:
    """A line per operation, implementation and reason, with the shapes where others of the operation were measured."""
    told: dict[tuple[str, str, str], list[str]] = {}
    for entry in report.skipped:
        shape = "x".join(map(str, entry["shape"] or ()))
        told.setdefault((entry["op"], entry["provider"], entry["why"]), []).append(shape)
    lines = []
    for (op, provider, why), shapes in told.items():
        elsewhere = any(row.op == op and row.provider == provider for row in report.rows)
        lines.append(f"left out: {op} {provider}{' at ' + ', '.join(shapes) if elsewhere else ''}: {why}")
    return lines


def _kernel_table(rows: list[Row]) -> Table:
    first = rows[0]
    title = f"{first.op}  {' x '.join(map(str, first.shape))}  {first.dtype}  {first.mode}"
    counted = counts_of(next((row for row in rows if row.gate == "green"), first))
    title += f"\n{counted}" if counted else ""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    table.add_column("provider", no_wrap=True)
    for name in ("median", "20-80 %", "GB/s", "of copy", "GFLOP/s", "of product", "memory"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*_kernel_cells(row))
    return table


def counts_of(row: Row) -> str:
    """Bytes and operations in words; empty where they are not counted."""
    moved = [] if row.bytes is None else [f"{_size(row.bytes)} to move"]
    return ", ".join(moved if row.flops is None else [*moved, f"{row.flops / 1e9:.3g} GFLOP"])


def _kernel_cells(row: Row) -> tuple[str, ...]:
    if row.median_us is None or row.p20_us is None or row.p80_us is None:
        return (row.provider, "red", *("",) * 6)
    return (
        row.provider,
        *_times(row.median_us, row.p20_us, row.p80_us),
        "" if row.gb_s is None else _figure(row.gb_s),
        "" if row.copy_share is None else _percent(row.copy_share),
        "" if row.tflop_s is None else _figure(row.tflop_s * 1e3),
        "" if row.matmul_share is None else _percent(row.matmul_share),
        "" if row.peak_bytes is None else _size(row.peak_bytes),
    )


def _times(median: float, low: float, high: float) -> tuple[str, str]:
    """Microseconds with their spread, in the unit that suits the median."""
    size, unit = (1.0, "us") if median < 1e3 else (1e3, "ms") if median < 1e6 else (1e6, "s")
    digits = 1 if median / size >= 100 else 2
    return f"{median / size:.{digits}f} {unit}", f"{low / size:.{digits}f}-{high / size:.{digits}f}"


def print_codec(report: CodecReport, console: Console) -> None:
    """The gate, the wholes, and their stages."""
    where, gate = report.circumstances, report.gate
    console.print(f"{where['gpu'] or where['cpu']}, {where['threads']} threads; torch {where['torch']}")
    console.print(f"{report.recipe}  {' x '.join(map(str, report.shape))}  {report.dtype}")
    if gate["verdict"] != "green":
        console.print(f"red: {gate['verdict']}", style="red")
        return
    console.print(
        f"against float64 on {' x '.join(map(str, gate['shape']))}: latents {gate['latents']:.1e}, reconstruction "
        f"{gate['reconstruction']:.1e} relative"
    )
    for part in dict.fromkeys(row.part for row in report.rows):
        console.print()
        console.print(_codec_table([row for row in report.rows if row.part == part]))


def _codec_table(rows: list[StageRow]) -> Table:
    table = Table(title=rows[0].part, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    table.add_column("stage", no_wrap=True)
    for name in ("median", "20-80 %", "share", "Msamples/s", "memory"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.stage,
            *_times(row.median_us, row.p20_us, row.p80_us),
            "" if row.share is None else _percent(row.share),
            f"{row.msamples_s:,.1f}",
            "" if row.peak_bytes is None else _size(row.peak_bytes),
            style="bold" if row.share is None else None,
        )
    return table


def _figure(value: float) -> str:
    return f"{value:,.1f}" if value >= 10 else f"{value:.2g}"


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.095 else f"{share:.1%}"


def _rate(tflop_s: float) -> str:
    return f"{tflop_s:,.1f} TFLOP/s" if tflop_s >= 1 else f"{tflop_s * 1e3:,.1f} GFLOP/s"


def _size(count: int) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} B"

"""What ``liveaction profile`` does: options as texts in, a report out, files in a folder."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from liveaction.codec.device import choose_device
from liveaction.errors import SpecError, escaped
from liveaction.outputs import check_outputs
from liveaction.profiling.case import Case, parse_shape
from liveaction.profiling.cases import cases as shipped_cases
from liveaction.profiling.cases import find_case
from liveaction.profiling.codec import CodecOptions, CodecReport, profile_codec
from liveaction.profiling.kernels import profile, shapes_of
from liveaction.profiling.records import USUAL, Options, Report
from liveaction.profiling.report import RECORD, print_codec, print_kernels, write_json
from liveaction.profiling.roofline import draw_roofline
from liveaction.profiling.tuning import tune

ROOFLINE, TUNED = "roofline.png", "tuned.json"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Session:
    """A report, what was written, and what to say of it."""

    report: Report | CodecReport
    notes: tuple[str, ...] = ()

    @property
    def red(self) -> bool:
        """Whether anything is wrong."""
        return bool(self.report.red)

    def record(self) -> dict[str, Any]:
        """Plain JSON data."""
        return self.report.record()

    def show(self, console: Console) -> None:
        """Tables on a terminal."""
        if isinstance(self.report, Report):
            print_kernels(self.report, console)
        else:
            print_codec(self.report, console)
        for note in self.notes:
            console.print(escaped(note))


def kernels_session(
    ops: list[str] | None,
    shape: str,
    dtype: str,
    providers: str,
    device: str,
    threads: int | None,
    backward: bool,
    rounds: int,
    out: Path | None,
    trace: bool,
    with_tuning: bool,
    say: Say,
) -> Session:
    """``liveaction profile kernels``; arguments are its options.

    Raises:
        LiveactionError: an option that cannot be.
    """
    chosen: list[Case] = [find_case(name) for name in ops] if ops else list(shipped_cases().values())
    wanted = parse_shape(shape) if shape else None
    folder = _folder(out, {"--trace": trace, "--tune": with_tuning})
    options = Options(
        dtype=dtype,
        device=choose_device(device),
        providers=tuple(part.strip() for part in providers.split(",")) if providers else USUAL,
        backward=backward,
        rounds=rounds,
        trace=folder if trace else None,
    )
    _set_threads(threads)
    report = profile(chosen, wanted, options, say)
    if not report.rows:
        why = "; ".join(dict.fromkeys(f"{entry['op']} {entry['provider']}: {entry['why']}" for entry in report.skipped))
        raise SpecError(f"profile kernels: expected an implementation that runs here, got none: {why}")
    notes = []
    if folder is not None:
        notes.append(f"{write_json(report.record(), folder / RECORD)}: record")
        say("drawing")
        picture = draw_roofline(report, folder / ROOFLINE)
        notes += [f"{picture}: roofline"] if picture is not None else []
    if with_tuning and folder is not None and not report.red:
        table: dict[str, Any] = {}
        for case in chosen:
            found = tune(case, shapes_of(case, wanted, options.device), options, say)
            for name, found_ops in found.items():
                for op, keys in found_ops.items():
                    table.setdefault(name, {}).setdefault(op, {}).update(keys)
        notes.append(
            f"{write_json(table, folder / TUNED)}: launch settings; LIVEACTION_TUNED={folder / TUNED} has them read"
            if table
            else f"nothing to tune: no kernel with launch settings runs on {options.device} here"
        )
    return Session(report, tuple(notes))


def codec_session(
    recipe: str,
    extents: tuple[int, ...],
    dtype: str,
    device: str,
    threads: int | None,
    backward: bool,
    rounds: int,
    out: Path | None,
    trace: bool,
    say: Say,
) -> Session:
    """``liveaction profile codec``; arguments are its options.

    Raises:
        LiveactionError: an option that cannot be, a recipe or a model that cannot be read.
    """
    folder = _folder(out, {"--trace": trace})
    if folder is not None:
        check_outputs({"--out": folder / RECORD}, {"RECIPE": Path(recipe) if Path(recipe).is_file() else None})
    options = CodecOptions(dtype, choose_device(device), backward, rounds, folder if trace else None)
    _set_threads(threads)
    report = profile_codec(recipe, extents, options, say)
    notes = [] if folder is None else [f"{write_json(report.record(), folder / RECORD)}: record"]
    return Session(report, tuple(notes))


def _folder(out: Path | None, needed_by: dict[str, bool]) -> Path | None:
    for option, wanted in needed_by.items():
        if wanted and out is None:
            raise SpecError(f"{option}: expected --out FOLDER beside it, got none")
    if out is None:
        return None
    if out.exists() and not out.is_dir():
        raise SpecError(f"--out {out}: expected a folder, got a file")
    out.mkdir(parents=True, exist_ok=True)
    return out


def _set_threads(threads: int | None) -> None:
    if threads is not None:
        torch.set_num_threads(threads)

"""The verb ``evaluate``."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from liveaction.cli.options import AsJson, Device, Dtype, Quiet, Synthesised
from liveaction.cli.printing import console, print_json, say, shown
from liveaction.errors import SpecError
from liveaction.home import resolve_model
from liveaction.outputs import check_folder

if TYPE_CHECKING:
    from liveaction.evaluation.coders import Refusal
    from liveaction.evaluation.plan import Plan
    from liveaction.evaluation.run import Settings
    from liveaction.evaluation.training import Announce
    from liveaction.spec import Recipe
    from liveaction.training.loop import Listener

app = typer.Typer()


@app.command(
    epilog="Examples: `liveaction evaluate runs/ct --data scans/ --baselines x265_slow,jpeg2000 --out report/` · "
    "`liveaction evaluate small=runs/a small=runs/b large=runs/c --data scans/ --out report/` · "
    "`liveaction evaluate --protocol ct_cpu_small --data files/ --out report/` · `liveaction evaluate --list`"
)
def evaluate(
    models: Annotated[
        list[str] | None,
        typer.Argument(help="Model directories or known models, as CURVE=MODEL where not all of them are one family."),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", help="What to measure on: files, folders; with --protocol the folder of its files."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the report. What it holds already is not measured again.")
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="A shipped protocol or a YAML file: models, files, baselines and all settings.")
    ] = "",
    baselines: Annotated[str, typer.Option(help="Names, with commas between; `all` for all that apply.")] = "",
    factors: Annotated[
        str, typer.Option(help="Multiples of the trained quantiser step. Default: 8,4,2,1,0.5,0.25.")
    ] = "",
    reference: Annotated[
        str, typer.Option(help="Curve that BD-rates are against. Default: the first baseline, else the first curve.")
    ] = "",
    measure: Annotated[str, typer.Option(help="Quality that BD-rates are on: psnr_normalised, ssim, ...")] = "",
    judge: Annotated[
        str, typer.Option(help="Who looks at what is decoded: a name, timm:NAME:WEIGHTS.safetensors or a folder.")
    ] = "",
    labels: Annotated[
        str, typer.Option(help="What items are: folders, a .csv with path and label, or original: as the judge says.")
    ] = "",
    synthesised: Synthesised = False,
    threads: Annotated[int | None, typer.Option(min=1, help="Of every codec. Default: 1, or the protocol's.")] = None,
    repeats: Annotated[
        int | None, typer.Option(min=1, help="Timed calls at most. Default: 3, or the protocol's.")
    ] = None,
    device: Device = "cpu",
    dtype: Dtype = "",
    list_all: Annotated[bool, typer.Option("--list", help="List protocols, baselines and judges, and stop.")] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Measure models beside other codecs: rate, distortion, speed; tables, plots and a report to look at.

    Every measurement is kept as a JSON file below --out; an interrupted evaluation goes on where it was. PSNR, and the
    clipping before it, are on the recipe's range for every codec alike; ratios are on native bits, container included.
    A judge's scores are of all items together, accuracy against bytes.
    """
    if list_all:
        _list(as_json)
        return
    if not data or out is None:
        raise SpecError("evaluate: expected --data and --out, got one of them or none; `liveaction evaluate --help`")
    if bool(protocol) == bool(models):
        raise SpecError("evaluate: expected either models or --protocol; `liveaction evaluate --list` lists protocols")
    models = [_resolved(text) for text in models or ()]
    read = [*data, *(Path(name.rpartition("=")[2]) for name in models)]
    check_folder("--out", out, {"--data or a model": read})
    from liveaction.codec.device import choose_device
    from liveaction.evaluation.plan import plan_models, plan_protocol
    from liveaction.evaluation.protocol import FACTORS, TimingRules, load_protocol
    from liveaction.evaluation.run import Settings

    loaded = load_protocol(protocol) if protocol else None
    timing = loaded.timing if loaded else TimingRules()
    if repeats is not None:
        timing = timing.model_copy(update={"repeats": repeats})
    settings = Settings(timing, threads or (loaded.threads if loaded else 1), choose_device(device), dtype)
    if loaded:
        own = {"baselines": baselines, "factors": factors, "reference": reference, "judge": judge, "labels": labels}
        _refuse_beside_protocol(data, own)
        with _announcing(quiet) as announce:
            plan = plan_protocol(loaded, data[0], out, settings, measure, announce, synthesised)
    else:
        names = [name for name in baselines.split(",") if name]
        steps = _numbers("--factors", factors) or FACTORS
        plan = plan_models(models, data, names, steps, settings, reference, measure, judge, labels, synthesised)
    _run(plan, out, settings, quiet, as_json)


def _list(as_json: bool) -> None:
    from liveaction.evaluation.baselines.registry import baseline_names, make_baseline
    from liveaction.evaluation.judges.registry import judge_labels
    from liveaction.evaluation.protocol import load_protocol, protocol_names

    protocols = {name: load_protocol(name).description for name in protocol_names()}
    codecs = {name: make_baseline(name).label for name in baseline_names()}
    if as_json:
        print_json({"protocols": protocols, "baselines": codecs, "judges": judge_labels()})
        return
    for title, rows in (("protocols", protocols), ("baselines", codecs), ("judges", judge_labels())):
        say(title)
        for name, text in rows.items():
            say(f"  {name:<28} {text}")


def _resolved(text: str) -> str:
    """CURVE=MODEL with the folder of the model."""
    curve, sign, model = text.rpartition("=")
    return f"{curve}{sign}{resolve_model(Path(model))}"


def _refuse_beside_protocol(data: list[Path], options: dict[str, str]) -> None:
    given = [f"--{name}" for name, value in options.items() if value]
    if given:
        raise SpecError(f"{given[0]}: expected no such option beside --protocol, which has its own; write a protocol")
    if len(data) != 1 or not data[0].is_dir():
        raise SpecError(f"--data: expected the one folder that holds the protocol's files, got {list(map(str, data))}")


def _numbers(option: str, text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(",") if part)
    except ValueError:
        raise SpecError(f"{option}: expected numbers such as 4,2,1, got {text!r}") from None
    if any(not 0 < value < float("inf") for value in values):
        raise SpecError(f"{option}: expected positive numbers, got {text!r}")
    return values


def _run(plan: "Plan", out: Path, settings: "Settings", quiet: bool, as_json: bool) -> None:
    from liveaction.cli.progress import counted
    from liveaction.evaluation.judges.figures import judged
    from liveaction.evaluation.outputs import write_outputs
    from liveaction.evaluation.run import evaluate as measure_all

    with counted(console, quiet) as count:
        outcome = measure_all(plan.coders, plan.subjects, out, settings, count, plan.judging)
    if not outcome.items:
        raise SpecError(f"{out}: expected something to be measured, got nothing; {_line(outcome.refusals[0])}")
    notes = _notes(plan, outcome.refusals)
    scores = judged(outcome.items, outcome.references)
    write_outputs(outcome.items, out, plan.title, notes, plan.reference, plan.measure, plan.against, scores)
    if as_json:
        told = {"out": str(out), "items": len(outcome.items), "refusals": [asdict(r) for r in outcome.refusals]}
        print_json(told if scores is None else {**told, "judged": {**asdict(scores), "tells": scores.tells}})
    else:
        _print(outcome.refusals, out)
        if scores is not None:
            say(scores.words)
    if any(refusal.failed for refusal in outcome.refusals):
        raise typer.Exit(1)


def _notes(plan: "Plan", refusals: "list[Refusal]") -> list[str]:
    return [plan.description, *(_line(refusal) for refusal in refusals)]


def _line(refusal: "Refusal") -> str:
    word = "failed" if refusal.failed else "left out"
    return f"{refusal.codec} on {refusal.source}: {word}: {refusal.reason}"


def _print(refusals: "list[Refusal]", out: Path) -> None:
    for refusal in refusals:
        say(_line(refusal))
    say(f"{out / 'report.html'}: open it in a browser; settings.csv, deltas.csv and plots/ lie beside it")


@contextmanager
def _announcing(quiet: bool) -> "Iterator[Announce]":
    """A bar for each training in turn."""
    from liveaction.cli.progress import TrainingProgress

    with ExitStack() as bars:

        def announce(name: str, recipe: "Recipe") -> "Listener":
            bars.close()
            if not quiet:
                console.print(shown(f"training {name}: {recipe.name}, {recipe.training.steps} steps"))
            return bars.enter_context(TrainingProgress(console, recipe, quiet)).listener()

        yield announce

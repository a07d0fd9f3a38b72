"""The verb ``probe``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from liveaction.cli.options import AsJson, Quiet
from liveaction.cli.printing import console, print_json, say, shown
from liveaction.errors import SpecError
from liveaction.outputs import check_folder

if TYPE_CHECKING:
    from liveaction.learning.labels import LabelledItem
    from liveaction.probing.inputs import Announce, Inputs
    from liveaction.probing.protocol import ProbeProtocol
    from liveaction.spec import Recipe
    from liveaction.training.loop import Listener

app = typer.Typer()


@app.command(
    epilog="Examples: `liveaction probe store/ --out report/` · "
    "`liveaction probe store/ --against samples,resample8 --data pictures/ --out report/` · "
    "`liveaction probe --protocol spoken_digits_cpu --data files/ --out report/` · `liveaction probe --list`"
)
def probe(
    store: Annotated[Path | None, typer.Argument(help="A store of latents with labels.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the report. What it holds already is not trained again.")
    ] = None,
    protocol: Annotated[str, typer.Option(help="A shipped protocol or a YAML file, instead of a store.")] = "",
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of the store's signals; with --protocol that of its files.")
    ] = None,
    against: Annotated[
        str, typer.Option(help="What to learn from beside the store: `samples,resample4`, of the signals in --data.")
    ] = "",
    seeds: Annotated[str, typer.Option(help="Of the trainings, with commas between.")] = "0,1,2",
    epochs: Annotated[int, typer.Option(min=1, help="Of each training.")] = 20,
    batch: Annotated[int, typer.Option(min=1, help="Items of a step.")] = 64,
    rate: Annotated[float, typer.Option("--learning-rate", help="The most, along one cycle.")] = 0.003,
    widths: Annotated[str, typer.Option(help="Of the network's stages.")] = "32,64",
    compute: Annotated[
        str, typer.Option(help="`equal` refuses inputs that differ by more than a quarter in compute; `any`.")
    ] = "any",
    keep: Annotated[bool, typer.Option("--keep", help="Keep the trained networks, such as judges are.")] = False,
    device: Annotated[str, typer.Option(help="`auto`, `cpu`, `cuda` or `cuda:1`.")] = "cpu",
    list_all: Annotated[bool, typer.Option("--list", help="List protocols, and stop.")] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train small networks on latents, on fewer samples and on all samples, and compare how well they learn.

    The same network on the same grid of tokens for every input, several seeds, groups never on both sides. Says where
    a task cannot tell inputs apart. Every training is kept below --out; an interrupted run goes on.
    """
    if list_all:
        _list(as_json)
        return
    if out is None or (store is None) == (not protocol):
        raise SpecError(
            "probe: expected --out, and either a store or --protocol, got others; `liveaction probe --help`"
        )
    read = {"the store": store, "--data": data}
    check_folder("--out", out, {name: path for name, path in read.items() if path is not None})
    chosen, items, inputs = _planned(
        store, out, protocol, data, against, seeds, epochs, batch, rate, widths, compute, quiet, device
    )
    rows, said = _run(chosen, items, inputs, out, device, keep, quiet)
    if as_json:
        print_json({"out": str(out), "inputs": rows, "said": said})
        return
    _print(rows, said, out)


def _planned(
    store: Path | None, out: Path, protocol: str, data: Path | None, against: str, seeds: str, epochs: int, batch: int,
    rate: float, widths: str, compute: str, quiet: bool, device: str,
) -> "tuple[ProbeProtocol, list[LabelledItem], Inputs]":  # fmt: skip
    from liveaction.learning.fit import FitRules
    from liveaction.learning.store import LatentStore
    from liveaction.probing.inputs import Inputs
    from liveaction.probing.plan import StoreInputs, protocol_items, store_items, store_protocol
    from liveaction.probing.protocol import load_probe

    announce = _announcer(quiet)
    if protocol:
        if data is None or not data.is_dir():
            raise SpecError(f"--data: expected the folder that holds the protocol's files, got {str(data)!r}")
        loaded = load_probe(protocol)
        items = protocol_items(loaded, data, out)
        return loaded, items, Inputs(loaded, items, out, announce=announce, device=device)
    assert store is not None
    found = LatentStore(store)
    names = [name for name in against.split(",") if name]
    if names and data is None:
        raise SpecError("--against: expected --data with the store's signals beside it, got none")
    if not 0 < rate < 1:
        raise SpecError(f"--learning-rate: expected a number between 0 and 1, got {rate:g}")
    training = FitRules(epochs=epochs, batch=batch, learning_rate=rate)
    made = store_protocol(found, names, _seeds(seeds), _whole("--widths", widths, 1), training, _compute(compute))
    items = store_items(found, data)
    return made, items, StoreInputs(made, items, out, device=device, store=found)


def _run(
    protocol: "ProbeProtocol", items: "list[LabelledItem]", inputs: "Inputs", out: Path, device: str, keep: bool,
    quiet: bool,
) -> tuple[list[dict[str, Any]], list[str]]:  # fmt: skip
    from liveaction.cli.progress import stages
    from liveaction.codec.device import choose_device
    from liveaction.files import write_errors
    from liveaction.probing.report import write_study
    from liveaction.probing.run import Study
    from liveaction.probing.tables import verdicts

    with write_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    with stages(console, quiet) as stage:
        inputs.count = lambda done, total, text: stage(f"making inputs: {done} of {total} {text}")
        runs = Study(protocol, items, out, choose_device(device), keep, stage).run(inputs)
        stage("writing the report")
        return write_study(runs, protocol, out), verdicts(runs, protocol)


def _announcer(quiet: bool) -> "Announce":
    """A line for each training of a codec."""
    from liveaction.training.loop import Listener as Told

    def announce(name: str, recipe: "Recipe") -> "Listener":
        if not quiet:
            console.print(shown(f"training {name}: {recipe.name}, {recipe.training.steps} steps"))
        return Told()

    return announce


def _print(rows: list[dict[str, Any]], said: list[str], out: Path) -> None:
    from liveaction.probing.tables import SCORES

    for row in rows:
        key = next(each for each in SCORES if each in row)
        around = row[f"{key}_deviation"]
        deviation = "" if around is None else f" ± {around:.1f}"
        say(
            f"{row['input']:<22} {key} {row[key]:.1f}{deviation}, {row['bytes']:,.0f} bytes an item, "
            f"{row['total_macs'] / 1e6:.2f} M MACs, {row['epoch_cpu_s']:.2f} s an epoch"
        )
    for line in said:
        say(line)
    say(f"{out / 'report.html'}: open it in a browser; inputs.csv and plots/ lie beside it")


def _list(as_json: bool) -> None:
    from liveaction.probing.protocol import load_probe, probe_names

    protocols = {name: load_probe(name).description for name in probe_names()}
    if as_json:
        print_json({"protocols": protocols})
        return
    for name, text in protocols.items():
        say(f"{name:<24} {text}")


def _compute(text: str) -> Literal["equal", "any"]:
    if text == "equal":
        return "equal"
    if text == "any":
        return "any"
    raise SpecError(f"--compute: expected equal or any, got {text!r}")


def _whole(option: str, text: str, least: int = 0) -> tuple[int, ...]:
    try:
        found = tuple(int(part) for part in text.split(",") if part)
    except ValueError:
        found = ()
    if not found or min(found) < least or max(found) >= 2**63:
        raise SpecError(f"{option}: expected whole numbers from {least} on, such as 1,2, got {text!r}")
    return found


def _seeds(text: str) -> tuple[int, ...]:
    found = _whole("--seeds", text)
    if len(set(found)) < len(found):
        raise SpecError(f"--seeds: expected each once, got {text!r}; what is trained twice alike tells nothing")
    return found

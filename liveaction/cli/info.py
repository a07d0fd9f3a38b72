"""The verbs that look into a stream: ``info`` and ``verify``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liveaction.cli.choice import model_for_streams
from liveaction.cli.findings import closeness_text, damage_fields, promised, report_damage
from liveaction.cli.options import AsJson, Device, MaxVoxels, Quiet, Synthesised, check_captured
from liveaction.cli.printing import console, print_json, say
from liveaction.errors import SpecError
from liveaction.home import WAYS, find_models

if TYPE_CHECKING:
    from liveaction.codec.verify import Verification

app = typer.Typer()


@app.command(epilog="Example: `liveaction info scan.lva`")
def info(
    source: Annotated[Path, typer.Argument(help="A .lva file.")],
    as_json: AsJson = False,
) -> None:
    """Show what a stream says of itself, and which known model it needs, without decoding.

    Header and index are checked; `verify` checks the rest.
    """
    from liveaction.codec.info import read_info

    fields = read_info(source)
    known = find_models(fields["weights"])
    if as_json:
        models = [{"name": one.name, "folder": str(one.folder), "origin": one.origin} for one in known]
        fields["known_models"] = models
        print_json(fields)
        return
    fields["modality"] = fields["modality"]["name"]
    if "names" in fields:
        names, sizes = fields["names"], fields["bytes_per_item"]
        more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
        fields["names"] = ", ".join(name or "none" for name in names[:_FEW]) + more
        fields["bytes_per_item"] = f"{sizes['chunks']:.1f} of chunks, {sizes['container']:.1f} of container"
    for name in ("metadata", "extras"):
        fields[name] = ", ".join(fields[name]) or "none"
    fields |= _in_words(fields)
    found = ", ".join(f"{one.name} ({one.origin}, {one.folder})" for one in known)
    fields["model"] = found or f"none that is known here has these weights; {WAYS}"
    for name, value in fields.items():
        text = f"{value:.4f}" if isinstance(value, float) else str(value)
        say(f"{name:<18} {text}")


def _bound_text(bound: dict[str, float] | None, unit: str) -> str:
    """What a stream promises of every value."""
    if bound is None:
        return "none: lossy"
    return "lossless: every value as it was" if not bound["error"] else f"no error above {bound['error']:g} {unit}"


_FEW = 3
"""Names of items that are said."""

_CODERS = {"fast": "rANS with the tables of the model", "small": "contexts mixed, from the model's state on"}


def _in_words(fields: dict[str, Any]) -> dict[str, str]:
    """The keys whose numbers say little alone."""
    tree, components, channels = fields["tree"], fields["components"], fields["shape"][0]
    basis = "no basis of the signal's own"
    if components or not fields["latent_channels"]:
        basis = f"of a basis of the signal's own, for {channels} channel(s)"
    return {
        "tree": f"{tree} ({f'entry {tree} of codec.trees' if tree else 'the split that codec itself says'})",
        "components": f"{components} ({basis})",
        "coder": f"{fields['coder']} ({_CODERS.get(fields['coder'], 'of another version')})",
        "version": f"{fields['version']} (of the stream's format)",
        "bound": _bound_text(fields["bound"], fields["unit"]),
    }


@app.command(
    epilog="Examples: `liveaction verify scan.lva` · "
    "`liveaction verify scan.lva --model runs/ct --against scan.nii.gz --json`"
)
def verify(
    source: Annotated[Path, typer.Argument(help="A .lva file.")],
    model: Annotated[
        Path | None,
        typer.Option(
            "--model",
            "-m",
            help="Its model directory, or a known model by name: digests are compared, all is decoded.",
        ),
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="The original, to compare with; takes the known model of the stream.")
    ] = None,
    synthesised: Synthesised = False,
    max_voxels: MaxVoxels = None,
    device: Device = "auto",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Check a stream: structure and every checksum; with its model, that all of it decodes. Exit status 1 if not."""
    from liveaction.cli.progress import stages
    from liveaction.codec.header import MAX_VOXELS
    from liveaction.codec.model import load
    from liveaction.codec.verify import verify_stream as check
    from liveaction.registry import build_modality

    if against is not None:
        model = model_for_streams(model, source).folder
    if synthesised and against is None:
        raise SpecError("--synthesised: expected --against with it, got none; leave it out")
    if against is not None:
        check_captured([against], synthesised)
    closeness: dict[str, float] = {}
    with stages(console, quiet) as stage:
        loaded = None
        if model is not None:
            stage("loading the model")
            loaded = load(model, device=device)
        found = check(source, loaded, stage=stage, max_voxels=max_voxels or MAX_VOXELS)
        if against is not None and found.decoded is None:
            raise SpecError(f"--against: expected a stream of one item, got {len(found.names)}; leave it out")
        if against is not None and found.decoded is not None:
            stage("comparing")
            modality = build_modality(found.header.modality)
            check_captured(modality.parts(against), synthesised, found.header.metadata)  # of a series, its files
            original = modality.read(against)
            closeness = modality.compare(original, found.decoded)
    several = f"{len(found.names)} items, " if len(found.names) > 1 else ""
    if as_json:
        print_json(_fields(found, model is not None) | closeness)
    else:
        whole = "all whole" if not found.damaged else f"{len(found.damaged)} damaged"
        decoded = "decodes with this model" if model is not None else "not decoded; --model does"
        said = promised(found.header)
        say(f"{source}: {found.bytes:,} bytes, {several}{found.chunks} chunks, {whole}; {decoded}{said}")
        if closeness:
            limits = modality.range_of(original)
            first, *more = closeness_text(closeness, found.header.unit, limits)
            for line in (f"against {against}: {first}", *more):
                say(line)
    axes = found.header.axes
    for number, name in enumerate(found.names):
        where = f"{source}: item {number} {name}".rstrip() if len(found.names) > 1 else str(source)
        damaged = [damage for damage in found.damaged if damage.item == number]
        report_damage(damaged, axes, where, "--fill of decompress brings the rest back")
    if found.damaged:
        raise typer.Exit(1)


def _fields(found: "Verification", with_model: bool) -> dict[str, Any]:
    """What was found, for JSON."""
    return {
        "bytes": found.bytes,
        "chunks": found.chunks,
        "checked": ["structure", "checksums"] + (["weights", "tables", "decoding"] if with_model else []),
        **({"items": len(found.names)} if len(found.names) > 1 else {}),
        "damaged": [damage_fields(damage, found.header.axes) | _item(found, damage.item) for damage in found.damaged],
    }


def _item(found: "Verification", number: int) -> dict[str, Any]:
    """Which item damage is in, where there are several."""
    return {"item": number, "name": found.names[number]} if len(found.names) > 1 else {}

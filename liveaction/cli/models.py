"""The verb ``models``: which models are known on this machine, and what goes into the home."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from liveaction.cli.options import AsJson, Force, Quiet, refuse_existing
from liveaction.cli.printing import console, print_json, print_lines, say, shown
from liveaction.errors import FormatError, SpecError
from liveaction.files import atomic_path, read_small
from liveaction.home import (
    CARD,
    FILES,
    LEAST_DIGITS,
    WAYS,
    KnownModel,
    in_home,
    look_around,
    read_known,
    resolve_model,
    searched,
)

app = typer.Typer(invoke_without_command=True)

AsDefault = Annotated[
    bool, typer.Option("--default", help="Take it for files of its modality, before those of the package.")
]

_LONGEST_CARD = 1 << 20


@app.callback(
    epilog="Examples: `liveaction models` · `liveaction models --json` · `liveaction models show ct` · "
    "`liveaction models add runs/ct --name ct` · `liveaction models get somebody/chest-ct` · "
    "`liveaction models remove ct --force`"
)
def models(context: typer.Context, as_json: AsJson = False) -> None:
    """List the models that are known here: those of the package, of the home, and on LIVEACTION_MODELS.

    The home is the folder that LIVEACTION_HOME names, else `~/.local/share/liveaction`. Of a known model the name, or 8
    digits or more of its digest, are enough for --model; compress and decompress find one by themselves.
    """
    if context.invoked_subcommand is not None:
        if as_json:
            raise SpecError(f"--json: expected it behind {context.invoked_subcommand!r}, got it before; move it")
        return
    known, damaged = look_around()
    if as_json:
        faults = [asdict(one) | {"folder": str(one.folder)} for one in damaged]
        print_json({"models": [_fields(model) for model in known], "damaged": faults})
        return
    if known:
        table = Table(box=None, pad_edge=False)
        for title in ("model", "modality", "recipe", "MB", "digest", "origin"):
            table.add_column(title, no_wrap=True)
        for model in known:
            modality = f"{model.modality} *" if model.modality in model.default_for else model.modality
            size = f"{model.bytes / 1e6:.1f}"
            cells = (model.name, modality, model.recipe, size, model.digest[:LEAST_DIGITS], model.origin)
            table.add_row(*map(shown, cells))
        Console(highlight=False, markup=False).print(table)
        if any(model.modality in model.default_for for model in known):
            say("* is taken for files of this modality, one of your own first")
    for one in damaged:
        say(f"damaged, and left out: {one.fault}", err=True)
    if not known:
        say(f"no models among {searched()}; {WAYS}")


@app.command(epilog="Example: `liveaction models show ct`")
def show(
    name: Annotated[
        str, typer.Argument(help="Of a known model, 8 digits or more of its digest, or a model directory.")
    ],
    as_json: AsJson = False,
) -> None:
    """Show what a model is: its recipe, digest, files, and its README.md."""
    folder = resolve_model(name)
    same = [model for model in look_around()[0] if model.folder.resolve() == folder.resolve()]
    model = same[0] if same else read_known(folder)
    files = {file: (folder / file).stat().st_size for file in FILES if (folder / file).is_file()}
    card = _card(folder)
    if as_json:
        print_json(_fields(model) | {"files": files, "card": card})
        return
    print_lines(
        {
            "model": model.name,
            "recipe": f"{model.recipe}: {model.description}" if model.description else model.recipe,
            "modality": model.modality,
            "default for": ", ".join(model.default_for) or "none",
            "digest": model.digest,
            "origin": model.origin or "not among those that are searched",
            "folder": str(model.folder),
            "files": "\n".join(f"{file}: {size:,} bytes" for file, size in files.items()),
        }
    )
    if card:
        say("")
        for line in card.rstrip().split("\n"):
            say(line)


@app.command(
    epilog="Examples: `liveaction models add runs/ct --default` · `liveaction models add runs/ct --name chest`",
)
def add(
    folder: Annotated[Path, typer.Argument(help="A model directory, as `liveaction train` leaves it.")],
    name: Annotated[str, typer.Option(help="What it is called here. Default: as its folder.")] = "",
    default: AsDefault = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Copy a model into the home, where compress and decompress find it.

    It is loaded first, and its weights are compared with its digest. Checkpoints and logs of a training stay behind.
    """
    from liveaction.cli.progress import stages
    from liveaction.codec.homed import add_model

    with stages(console, quiet) as stage:
        stage("loading the model")
        model, made = add_model(folder, name, default)
    _say_added(model, {"added": made}, as_json)


@app.command(
    epilog="Examples: `liveaction models get somebody/chest-ct` · "
    "`liveaction models get somebody/chest-ct --digest 2dec9a5240a2 --name chest --default`",
)
def get(
    repository: Annotated[str, typer.Argument(help="Of a hub: owner/name.")],
    revision: Annotated[str, typer.Option(help="Branch, tag or commit. Default: the default branch.")] = "",
    digest: Annotated[str, typer.Option(help="8 hex digits or more that its weights' digest must begin with.")] = "",
    name: Annotated[str, typer.Option(help="What it is called here. Default: as its repository.")] = "",
    default: AsDefault = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Get a model from a hub into the home, where compress and decompress find it, offline too.

    Nothing but its tensors, tables and texts is got; they are compared with its digest. HF_ENDPOINT names another hub.
    """
    from liveaction.cli.progress import stages
    from liveaction.codec.homed import add_model
    from liveaction.codec.hub import check_digest, checked_digest, fetch, got_whole

    checked_digest(digest)
    with stages(console, quiet) as stage:
        stage(f"getting {repository}")
        folder = fetch(repository, revision or None)
        stage("loading the model")
        with got_whole(repository):
            check_digest(read_known(folder).digest, digest, repository)
            model, made = add_model(folder, name or repository.rpartition("/")[2], default)
    _say_added(model, {"added": made, "repository": repository}, as_json)


@app.command(
    epilog="Examples: `liveaction models push runs/ct me/chest-ct` · "
    "`liveaction models push runs/ct me/chest-ct --public`",
)
def push(
    model: Annotated[str, typer.Argument(help="A model directory, or the name or digest of a known model.")],
    repository: Annotated[str, typer.Argument(help="Of a hub: owner/name; made if missing.")],
    public: Annotated[bool, typer.Option("--public", help="Anybody may see and get it. Default: private.")] = False,
    revision: Annotated[str, typer.Option(help="A branch, made if missing. Default: the default one.")] = "",
    message: Annotated[str, typer.Option(help="Of the commit.")] = "",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Push a model to a hub with a card, privately unless --public is given; HF_TOKEN or `hf auth login` says who."""
    from liveaction.cli.progress import stages
    from liveaction.codec.hub import push as push_folder

    with stages(console, quiet) as stage:
        address = push_folder(
            resolve_model(model),
            repository,
            private=not public,
            revision=revision or None,
            message=message,
            stage=stage,
        )
    if as_json:
        print_json({"repository": repository, "private": not public, "commit": address})
        return
    say(f"{address}: pushed, {'for anybody to see' if public else 'private'}")


@app.command(epilog="Examples: `liveaction models card ct` · `liveaction models card runs/ct --out runs/ct/README.md`")
def card(
    model: Annotated[str, typer.Argument(help="A model directory, or the name or digest of a known model.")],
    out: Annotated[Path | None, typer.Option(help="Write it there instead of printing it.")] = None,
    force: Force = False,
) -> None:
    """Make a model's card of what its training and its about.json say, in Markdown."""
    from liveaction.codec.card import make_card

    text = make_card(resolve_model(model))
    if out is None:
        for line in text.rstrip().split("\n"):
            say(line)
        return
    refuse_existing(out, force, "--out")
    with atomic_path(out) as part:
        part.write_text(text, encoding="utf-8")
    say(f"{out}: card")


@app.command(epilog="Example: `liveaction models remove ct --force`")
def remove(
    name: Annotated[str, typer.Argument(help="Of a model in the home.")],
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Remove a model from the home; streams that were made with it need it to be read. Needs --force."""
    folder = in_home(name)
    if not force:
        raise SpecError(
            f"{folder}: expected --force to remove a model, without which its streams cannot be read, got none"
        )
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder)
    if as_json:
        print_json({"name": name, "folder": str(folder), "removed": True})
        return
    say(f"{folder}: removed")


def _say_added(model: KnownModel, about: dict[str, Any], as_json: bool) -> None:
    """What became of a model that was to be in the home."""
    if as_json:
        print_json(_fields(model) | about)
        return
    what = "added" if about["added"] else "there already"
    say(f"{model.folder}: {what}; {model.modality} by recipe {model.recipe}, weights {model.digest[:12]}")


def _fields(model: KnownModel) -> dict[str, Any]:
    """For JSON."""
    return asdict(model) | {"folder": str(model.folder), "default_for": list(model.default_for)}


def _card(folder: Path) -> str:
    """The text of a model's README.md; empty where there is none.

    Raises:
        FormatError: it is too long, or no text.
    """
    path = folder / CARD
    if not path.is_file():
        return ""
    try:
        return read_small(path, _LONGEST_CARD).decode("utf-8").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: expected a text of at most {_LONGEST_CARD} bytes, got {error}") from error

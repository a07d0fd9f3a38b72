"""``liveaction compress`` and ``decompress`` of folders: the bar, the failures and the totals."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from liveaction.cli.options import percent
from liveaction.cli.printing import console, print_json, say
from liveaction.errors import SpecError

if TYPE_CHECKING:
    from liveaction.archive.folder import FolderTask
    from liveaction.cli.choice import Chosen


def run_folder(prepare: Callable[[], "FolderTask"], quiet: bool, as_json: bool, chosen: "Chosen") -> None:
    """Work on a folder and say how it went, and with which model; exit status 1 where an item failed."""
    from liveaction.archive.folder import totals
    from liveaction.cli.progress import stages, transfer

    with stages(console, quiet) as stage:
        stage("loading the model")
        task = prepare()
    entries = []
    try:
        with task, transfer(console, quiet, len(task.items), sum(item.size for item in task.items)) as advance:
            for item, entry in task.run():
                entries.append(entry)
                advance(item.size, sum(entry.status == "failed" for entry in entries))
    finally:
        for entry in entries:
            if entry.status == "failed":
                say(f"liveaction: {entry.error}", err=True)
    report = {"target": str(task.target), **totals(entries), **chosen.fields()}
    if as_json:
        print_json(report)
    else:
        ratio = f", {report['ratio']:.1f}:1" if report["ratio"] else ""
        words = {
            "clipped_share": "lie outside their range and are clipped",
            "missing_share": "are missing and come back",
        }
        shares = "".join(
            f"; {percent(report[key])} of the values {said}" for key, said in words.items() if key in report
        )
        say(
            f"{task.target}: {report['done']} done, {report['skipped']} skipped, {report['failed']} failed of "
            f"{report['items']} items; {report['bytes']:,} bytes{ratio}{shares}"
        )
        for line in chosen.lines():
            say(line)
    if report["failed"]:
        raise typer.Exit(1)


def refuse_folder_options(**given: bool) -> None:
    """Raise SpecError where an option that only folders have was given for one signal."""
    for name in (name for name, there in given.items() if there):
        raise SpecError(f"--{name}: expected a folder with it, got one signal; leave it out")

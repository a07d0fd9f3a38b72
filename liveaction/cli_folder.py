"""``liveaction compress`` of a folder: the bar, the failures and the totals."""

from pathlib import Path

import typer

from liveaction.cli_shared import console, print_json


def compress_folder(
    source: Path, target: Path, model: Path, step: float | None, quality: int | None, device: str, dtype: str,
    jobs: int, force: bool, quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    """Compress all that ``source`` holds into the folder ``target``; exit status 1 where an item failed."""
    from liveaction.codec.archive import FolderCompression, Settings, totals
    from liveaction.progress import stages, transfer

    with stages(console, quiet) as stage:
        stage("loading the model")
        task = FolderCompression(source, target, Settings(model, step, quality, device, dtype, jobs, force))
    entries = []
    try:
        with task, transfer(console, quiet, len(task.items), sum(item.size for item in task.items)) as advance:
            for item, entry in task.run():
                entries.append(entry)
                advance(item.size, sum(entry.status == "failed" for entry in entries))
    finally:
        for entry in entries:
            if entry.status == "failed":
                typer.echo(f"liveaction: {entry.error}", err=True)
    report = {"target": str(target), **totals(entries)}
    if as_json:
        print_json(report)
    else:
        ratio = f", {report['ratio']:.1f}:1" if report["ratio"] else ""
        typer.echo(
            f"{target}: {report['done']} done, {report['skipped']} skipped, {report['failed']} failed of "
            f"{report['items']} items; {report['bytes']:,} bytes{ratio}"
        )
    if report["failed"]:
        raise typer.Exit(1)

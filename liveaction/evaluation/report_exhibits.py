"""What a report shows side by side: for some ratios per source, the setting of each codec that is nearest."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from liveaction.errors import FormatError
from liveaction.evaluation.exhibits import Entry, PictureEntry, folder_of_item, folder_of_source, read_index
from liveaction.evaluation.groups import common_ratios, lines_of
from liveaction.evaluation.item import Measurement, Source
from liveaction.evaluation.measures import MEASURES
from liveaction.evaluation.report_html import data_uri

Table = dict[str, Any]

_MOST = 8 * 2**20  # bytes of a source's exhibits


def shown_items(items: Sequence[Measurement], source: Source) -> dict[float, list[Measurement]]:
    """By common ratio, the items whose exhibits a report of these items shows: one per codec, of the first seed."""
    lines = lines_of(items, source)
    return {ratio: [line.nearest(ratio).item for line in lines] for ratio in common_ratios(lines)}


def exhibits_data(items: Sequence[Measurement], source: Source, folder: Path, measure: str) -> Table | None:
    """Names, files as addresses, and who is nearest to which ratio; None where nothing of the source was saved.

    Codecs without saved exhibits are left out. A setting that is nearest to several ratios is held once. Where all
    would take more than 8 MiB, only the middle ratio is shown.

    Raises:
        FormatError: a folder of exhibits is damaged, or does not show what the original's shows.
    """
    first = folder_of_source(folder, source)
    originals = read_index(first)
    if not originals:
        return None
    shows: list[Table] = [_show("original", f"{source.bits} bits per element", first)]
    names = {(line.curve, line.codec): line.name for line in lines_of(items, source)}
    places: dict[Path, int] = {}
    ratios = []
    for ratio, nearest in _bounded(shown_items(items, source), folder).items():
        mine = [0]
        for item in nearest:
            here = folder_of_item(folder, item)
            if here not in places and read_index(here):
                _check(here, originals)
                places[here] = len(shows)
                shows.append(_show(names[item.curve, item.codec], _note(item, measure), here))
            mine += [places[here]] if here in places else []
        ratios.append({"ratio": f"{ratio:g}", "shows": mine})
    kinds = [
        {"name": entry.name, "kind": entry.kind, "aspect": entry.aspect if isinstance(entry, PictureEntry) else 1.0}
        for entry in originals
    ]
    return {"source": source.label, "kinds": kinds, "ratios": ratios, "shows": shows}


def _bounded(wanted: dict[float, list[Measurement]], folder: Path) -> dict[float, list[Measurement]]:
    """All ratios, or only the middle one where all are too much for a page."""
    folders = {folder_of_item(folder, item) for nearest in wanted.values() for item in nearest}
    size = sum((here / entry.file).stat().st_size for here in folders for entry in read_index(here))
    ratios = list(wanted)
    return wanted if size <= _MOST else {ratio: wanted[ratio] for ratio in ratios[len(ratios) // 2 :][:1]}


def _show(name: str, note: str, folder: Path) -> Table:
    files = []
    for entry in read_index(folder):
        kind = "image/png" if isinstance(entry, PictureEntry) else "audio/flac"
        files.append(data_uri(kind, (folder / entry.file).read_bytes()))
    return {"name": name, "note": note, "files": files}


def _note(item: Measurement, measure: str) -> str:
    """The setting, and what it came to: "CRF 28, ratio 47.2, PSNR 38.21 dB"."""
    seed = "" if item.seed is None else f", seed {item.seed}"
    words = f"{item.setting} {item.value:g}{seed}, ratio {item.ratio:.3g}"
    if measure not in item.metrics:
        return words
    return f"{words}, {MEASURES[measure].label} {MEASURES[measure].text(item.metrics[measure], item.source.unit)}"


def _check(folder: Path, originals: Sequence[Entry]) -> None:
    found = [(entry.kind, entry.name) for entry in read_index(folder)]
    wanted = [(entry.kind, entry.name) for entry in originals]
    if found != wanted:
        raise FormatError(
            f"{folder}: expected exhibits as the original has them, {wanted}, got {found}; save the exhibits again"
        )

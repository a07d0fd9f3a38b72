"""What models still see of decoded signals: repeat the evaluations with a judge, and keep what they say.

    python benchmarks/judged.py --data FOLDER digits_judged_cpu documents_judged_cpu
    python benchmarks/judged.py --tables                                   # the documentation's tables, printed

FOLDER holds ``learning/fsdd/recordings`` (the free spoken digit dataset); pages are rendered. What protocols read is
arranged in runs/judged/data, models and items stay in runs/judged/PROTOCOL, or below ``--work``; what is there is not
made again. results/judged/PROTOCOL.json gets scores of all settings, deltas in the score, and on what they rest.
"""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from evaluations import evidence
from record import RESULTS, of_protocols, tables

from liveaction.evaluation.measures import JUDGED
from liveaction.learning.labels import TEST, TRAIN
from liveaction.probing.prepare.lines import KINDS, TESTED, line

ROOT = Path(__file__).resolve().parents[1]
KEPT = RESULTS / "judged"
SPEAKERS, TAKES = ("theo", "yweweler"), 10
"""Speakers of the test, and how many recordings of each digit of theirs."""
PAGES = {TRAIN: 8, TEST: 12}
PAGE = 560, 256
"""Height and width of a page in pixels: 20 lines of letters 13 to 17 pixels high."""
LINES = 20


def arrange_digits(data: Path, out: Path) -> None:
    """Links to recordings of other speakers to learn from, and of two to test on; a table of labels."""
    rows = []
    for path in sorted((data / "learning" / "fsdd" / "recordings").glob("*.wav")):
        digit, speaker, take = path.stem.split("_")
        split = TEST if speaker in SPEAKERS else TRAIN
        if split == TRAIN or int(take) < TAKES:
            _link(path, out / split / path.name)
            rows += [[f"digits/test/{path.name}", digit]] if split == TEST else []
    _table(out / "test.csv", rows)


def render_pages(out: Path) -> None:
    """Pages of headings, addresses, dates and prices, blurred and noisy; those of tests in other fonts and words."""
    from matplotlib import get_data_path
    from PIL import Image, ImageDraw, ImageFilter, ImageFont

    fonts = {path.stem: path for path in sorted((Path(get_data_path()) / "fonts" / "ttf").glob("DejaVu*.ttf"))}
    rng, rows = np.random.default_rng(0), []
    for split, count in PAGES.items():
        pool = [name for name in fonts if (name in TESTED) == (split == TEST) and "Display" not in name]
        (out / split).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            page = Image.new("L", PAGE[::-1], int(rng.integers(215, 250)))
            draw, texts = ImageDraw.Draw(page), []
            for place in range(LINES):
                letters = ImageFont.truetype(str(fonts[pool[int(rng.integers(len(pool)))]]), int(rng.integers(13, 18)))
                texts.append(line(KINDS[int(rng.integers(len(KINDS)))], split, rng))
                draw.text((24, 16 + place * 27), texts[-1], fill=int(rng.integers(10, 70)), font=letters)
            seen = np.asarray(page.filter(ImageFilter.GaussianBlur(0.5)), np.float64) + rng.normal(0, 2, PAGE)
            name = f"page_{number:02}.png"
            Image.fromarray(np.clip(np.rint(seen), 0, 255).astype(np.uint8)).save(out / split / name)
            rows += [[f"documents/test/{name}", " ".join(texts)]] if split == TEST else []
    _table(out / "test.csv", rows)


def _link(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    if not to.exists():
        to.symlink_to(path.resolve())


def _table(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label"], *rows])


def run(protocol: str, data: Path, work: Path) -> None:
    """One evaluation, through the command line, and its record."""
    arranged, folder = work / "data", work / protocol
    if protocol.startswith("digits"):
        arrange_digits(data, arranged / "digits")
    else:
        render_pages(arranged / "documents")
    command = ["evaluate", "--protocol", protocol, "--data", str(arranged), "--out", str(folder), "--quiet"]
    subprocess.run([sys.executable, "-m", "liveaction", *command], check=True)
    KEPT.mkdir(parents=True, exist_ok=True)
    kept = {name: json.loads((folder / f"{name}.json").read_text()) for name in ("judged", "judged_deltas")}
    path = KEPT / f"{protocol}.json"
    path.write_text(json.dumps({**kept, **evidence(folder)}, indent=1) + "\n")
    print(path, flush=True)


def table(protocol: str) -> str:
    """Bytes of an item and the score there, codec by codec, in Markdown."""
    kept: dict[str, Any] = json.loads((KEPT / f"{protocol}.json").read_text())
    lines = ["| codec | bytes per item: score, % |", "| --- | --- |"]
    curves: dict[str, list[str]] = {}
    measure = next(key for key in JUDGED if key in kept["judged"][0])
    for row in sorted(kept["judged"], key=lambda row: float(row["bytes"])):
        curves.setdefault(row["curve"], []).append(f"{row['bytes']:,.0f}: {100 * row[measure]:.1f}")
    return "\n".join([*lines, *(f"| `{name}` | {' · '.join(parts)} |" for name, parts in curves.items())])


if __name__ == "__main__":
    of_protocols(
        __doc__, "the folder that holds learning/fsdd/recordings", KEPT, run, lambda: "\n".join(tables(KEPT, table))
    )

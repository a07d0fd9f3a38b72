"""Lines of documents, rendered: is it a date, a price, an address or a heading?

Synthetic throughout: random texts in the DejaVu fonts that matplotlib brings, blurred and noisy, in pictures 24 high
and as wide as the text. Fonts and words of tests are in no training item. Every kind has digits, so that to find one
does not suffice.
"""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from liveaction.errors import FormatError
from liveaction.learning.labels import TEST, TRAIN

COUNTS = {TRAIN: 800, TEST: 240}
HEIGHT = 24
KINDS = ("address", "date", "heading", "price")
TESTED = ("DejaVuSerif", "DejaVuSerif-Italic", "DejaVuSansMono-Bold", "DejaVuSans-Oblique")
"""Fonts of the test items."""
WORDS = {
    TRAIN: [
        "Alder",
        "Birch",
        "Cedar",
        "Dorset",
        "Easton",
        "Fulham",
        "Grange",
        "Harbour",
        "Ivory",
        "Juniper",
        "Kestrel",
        "Linden",
        "Maple",
        "Norwood",
    ],
    TEST: ["Orchard", "Poplar", "Quarry", "Rowan", "Sutton", "Thistle", "Upton", "Valley", "Willow", "Yarrow"],
}
TITLES = {
    TRAIN: [
        "Summary",
        "Methods",
        "Results",
        "Delivery",
        "Payment",
        "Contents",
        "Terms",
        "Account",
        "Notes",
        "Overview",
    ],
    TEST: ["Appendix", "Invoice", "Discussion", "Shipping", "References", "Balance"],
}
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
ABOUT = {"counts": COUNTS, "height": HEIGHT, "tested": TESTED, "seed": 0, "words": WORDS, "titles": TITLES}


def make(source: Path, out: Path) -> None:
    """Grey PNGs and ``items.csv`` with kind, split and font.

    Args:
        source: any folder; the fonts are matplotlib's.

    Raises:
        FormatError: the fonts are not there.
    """
    from matplotlib import get_data_path
    from PIL import Image

    fonts = {path.stem: path for path in sorted((Path(get_data_path()) / "fonts" / "ttf").glob("DejaVu*.ttf"))}
    fonts = {name: path for name, path in fonts.items() if "Display" not in name}
    if not set(TESTED) < set(fonts):
        raise FormatError(f"lines: expected the DejaVu fonts of matplotlib, got {sorted(fonts)}")
    rng, rows = np.random.default_rng(0), []
    for split, count in COUNTS.items():
        pool = [name for name in fonts if (name in TESTED) == (split == TEST)]
        for number in range(count):
            kind, font = KINDS[number % len(KINDS)], pool[int(rng.integers(len(pool)))]
            name = f"{split}_{number:04}.png"
            Image.fromarray(_drawn(line(kind, split, rng), fonts[font], rng)).save(out / name)
            rows.append([name, kind, split, font])
    with (out / "items.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", "split", "group"], *rows])


def line(kind: str, split: str, rng: np.random.Generator) -> str:
    """A text of a kind, in words of a split."""

    def pick(words: list[str]) -> str:
        return words[int(rng.integers(len(words)))]

    def number(low: int, high: int) -> int:
        return int(rng.integers(low, high))

    if kind == "address":
        return f"{number(1, 300)} {pick(WORDS[split])} {pick(['St', 'Road', 'Ave', 'Lane'])}"
    if kind == "heading":
        return f"{number(1, 13)}.{number(1, 10)} {pick(TITLES[split])}"
    if kind == "price":
        form = pick(["EUR {}.{:02}", "$ {}.{:02}", "{}.{:02} GBP", "Total {}.{:02}"])
        return form.format(number(1, 2000), number(0, 100))
    day, month, year = number(1, 29), number(1, 13), number(1990, 2030)
    return pick([f"{day:02}.{month:02}.{year}", f"{year}-{month:02}-{day:02}", f"{day} {MONTHS[month - 1]} {year}"])


def _drawn(text: str, font: Path, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A line on paper, ``[HEIGHT, x]``."""
    from PIL import Image, ImageDraw, ImageFilter, ImageFont

    letters = ImageFont.truetype(str(font), int(rng.integers(11, 15)))
    low, top, high, bottom = letters.getbbox(text)
    paper, ink = int(rng.integers(200, 250)), int(rng.integers(10, 90))
    picture = Image.new("L", (int(high - low) + 16, HEIGHT), paper)
    down = (HEIGHT - int(bottom - top)) // 2 - int(top) + int(rng.integers(-2, 3))
    ImageDraw.Draw(picture).text((8 - int(low), down), text, fill=ink, font=letters)
    blurred = np.asarray(picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 1.0))), np.float64)
    noisy = blurred + rng.normal(0, rng.uniform(4, 12), blurred.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)

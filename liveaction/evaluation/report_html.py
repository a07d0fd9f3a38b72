"""Pieces of HTML: everything that comes from elsewhere is escaped."""

import base64
import json
import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from liveaction.evaluation.plot_style import DARK, LIGHT, Theme
from liveaction.evaluation.plots import svg_bytes
from liveaction.evaluation.tables import Row, heading_of, text_of


def data_uri(kind: str, data: bytes) -> str:
    """Bytes as an address that needs no request."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def script_json(value: Any) -> str:
    """JSON that may stand within a script element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def plot_html(draw: Callable[[Theme], Any], words: str) -> str:
    """A plot for light and one for dark pages, of which one is shown.

    Args:
        draw: gives the figure in a theme.
        words: what those read who do not see it; also the caption.
    """
    images = []
    for name, theme in (("light", LIGHT), ("dark", DARK)):
        address = data_uri("image/svg+xml", svg_bytes(draw(theme)))
        images.append(f'<img class="{name}" src="{address}" alt="{escape(words)}">')
    return f'<figure class="plot" tabindex="0">{"".join(images)}<figcaption>{escape(words)}</figcaption></figure>'


def table_html(rows: Sequence[Row], columns: Sequence[str], caption: str) -> str:
    """A table whose columns sort; the first column stays in sight, rows of models are marked."""
    kinds = ["text" if any(isinstance(row[key], str) for row in rows) else "number" for key in columns]
    heads = "".join(_head(key, rows[0], number, kinds[number]) for number, key in enumerate(columns))
    body = "".join(_row(row, columns, kinds) for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table class="sortable">'
        f"<caption><span>{escape(caption)}</span></caption><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def list_html(pairs: Sequence[tuple[str, str]]) -> str:
    """Terms and what they are."""
    return "<dl>" + "".join(f"<dt>{escape(one)}</dt><dd>{escape(two)}</dd>" for one, two in pairs) + "</dl>"


def _head(key: str, row: Row, number: int, kind: str) -> str:
    button = f'<button type="button" data-column="{number}">{escape(heading_of(key, row))}</button>'
    return f'<th scope="col" class="{kind}" aria-sort="none">{button}</th>'


def _row(row: Row, columns: Sequence[str], kinds: Sequence[str]) -> str:
    cells = []
    for number, (key, kind) in enumerate(zip(columns, kinds, strict=True)):
        tag, scope = ("td", "") if number else ("th", ' scope="row"')
        place, text = escape(_sorted_by(row[key])), escape(text_of(key, row[key]))
        cells.append(f'<{tag}{scope} class="{kind}" data-value="{place}">{text}</{tag}>')
    return f'<tr class="{escape(str(row.get("kind", "")))}">{"".join(cells)}</tr>'


def _sorted_by(value: Any) -> str:
    """What a cell is sorted by, as a script reads it; what is empty sorts last."""
    if value is None or isinstance(value, str):
        return value or ""
    return "Infinity" if value == math.inf else repr(float(value))


def distinct(values: Sequence[Any]) -> str:
    """Each value once, in order."""
    return "; ".join(dict.fromkeys(str(value) for value in values if value not in (None, "")))


def flat(table: Mapping[str, Any]) -> dict[str, Any]:
    """Nested tables by dotted keys."""
    out: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            out |= {f"{key}.{inner}": deep for inner, deep in flat(value).items()}
        else:
            out[key] = value
    return out

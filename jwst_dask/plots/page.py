"""Building blocks of the report page: escaped text, tables, figures, one style sheet; nothing from outside the page."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CSS = """
:root{--ink:#1f2430;--soft:#5a606c;--line:#dcdee2;--wash:#f6f6f4;--accent:#2f5d8a;--bad:#9c2f24}
*{box-sizing:border-box}
html{font:15px/1.5 system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif;color:var(--ink);background:#fff;-webkit-text-size-adjust:100%}
body{max-width:62rem;margin:0 auto;padding:2.4rem 1.6rem 4rem}
header{border-bottom:1px solid var(--line);padding-bottom:1.1rem;margin-bottom:1.4rem}
h1{font-size:1.6rem;line-height:1.25;font-weight:600;margin:0 0 .25rem}
h2{font-size:1.15rem;font-weight:600;margin:2.6rem 0 .7rem}
h3{font-size:1rem;font-weight:600;margin:1.7rem 0 .4rem;overflow-wrap:anywhere}
p{margin:.4rem 0}
.soft,figcaption,caption{color:var(--soft)}
.soft{overflow-wrap:anywhere}
figcaption,caption{font-size:.87rem}
.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(9.2rem,1fr));gap:1rem 1.4rem;margin:0 0 1.2rem}
.facts div{min-width:0}
.facts dt{font-size:.8rem;color:var(--soft)}
.facts dd{margin:0;font-size:1.08rem;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
nav{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;font-size:.9rem}
a{color:var(--accent);text-decoration-thickness:1px;text-underline-offset:2px}
figure{margin:.6rem 0 1.2rem}
figure img{display:block;width:100%;height:auto}
.scroll{overflow-x:auto;margin:.5rem 0 1rem}
table{border-collapse:collapse;width:100%;font-size:.87rem;font-variant-numeric:tabular-nums}
caption{text-align:left;padding-bottom:.35rem}
th,td{text-align:left;vertical-align:top;padding:.3rem .9rem .3rem 0;border-bottom:1px solid var(--line)}
th:last-child,td:last-child{padding-right:0}
thead th{font-weight:600;border-bottom-color:#a9adb5;white-space:nowrap}
tbody th{font-weight:500}
.n{text-align:right;white-space:nowrap}
.name{overflow-wrap:anywhere;min-width:15rem}
td ul{margin:0;padding:0;list-style:none}
td li{overflow-wrap:anywhere}
td li+li{margin-top:.1rem}
.settings{min-width:16rem}
.settings li{display:inline-block;margin:0 1rem .1rem 0;color:var(--soft)}
.settings li.set{color:var(--accent)}
.failed ul{margin:.3rem 0;padding-left:1.1rem}
code,pre{font:.92em/1.45 ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace}
pre{font-size:.78rem;background:var(--wash);padding:.9rem 1rem;margin:.5rem 0;white-space:pre-wrap;overflow-wrap:anywhere}
.set{color:var(--accent);font-weight:600}
.off td,.off th{color:var(--soft)}
.skipped{font-size:.87rem;color:var(--soft)}
.bar{display:inline-block;vertical-align:.05em;height:.55rem;min-width:1px;background:var(--accent);opacity:.75}
.track{width:34%;min-width:7rem}
.failed{border-left:3px solid var(--bad);padding:.1rem 0 .1rem .9rem;margin:1rem 0}
.failed h2{margin:.2rem 0;color:var(--bad)}
.failed li{overflow-wrap:anywhere}
details{margin:.5rem 0 .9rem}
summary{cursor:pointer;color:var(--accent);font-size:.9rem}
@media (max-width:40rem){body{padding:1.4rem 1rem 3rem}}
@media print{
 @page{margin:16mm 14mm}
 html{font-size:10.5px}
 body{max-width:none;padding:0}
 nav,summary,#plans{display:none}
 figure img{width:82%}
 h2,h3{break-after:avoid}
 figure,tr{break-inside:avoid}
 thead{display:table-header-group}
 .scroll{overflow:visible}
 .bar{print-color-adjust:exact;-webkit-print-color-adjust:exact}
 a{color:inherit;text-decoration:none}
}
"""

Cell = str | tuple[str, str] | tuple[str, str, int]
"""HTML of a cell, or that and its class, or these and the number of columns that it takes."""


def text(value: object) -> str:
    """Any value as escaped text."""
    return escape(str(value), quote=True)


def code(value: object, breaks: bool = True) -> str:
    """Escaped, in the fixed-width face; may break after an underscore, as file names are long."""
    return f"<code>{text(value).replace('_', '_<wbr>') if breaks else text(value)}</code>"


def items(lines: Iterable[Cell]) -> str:
    """HTML lines as a bare list; a line may come with a class."""
    inner = "".join(_cell("li", line) for line in lines)
    return f"<ul>{inner}</ul>" if inner else ""


def table(heads: Sequence[Cell], rows: Iterable[Sequence[Cell]], caption: str = "", dim: Iterable[bool] = ()) -> str:
    """A table that scrolls by itself when the page is too narrow. The first cell of a row is its heading.

    Parameters
    ----------
    heads, rows
        Cells as HTML.
    caption : str
        Plain text.
    dim : iterable of bool
        Rows to be set back.
    """
    dimmed = list(dim)
    head = "".join(_cell("th", cell, ' scope="col"') for cell in heads)
    body = []
    for i, row in enumerate(rows):
        cells = _cell("th", row[0], ' scope="row"') + "".join(_cell("td", cell) for cell in row[1:])
        body.append(f"<tr{' class=off' if i < len(dimmed) and dimmed[i] else ''}>{cells}</tr>")
    title = f"<caption>{text(caption)}</caption>" if caption else ""
    return f'<div class="scroll" tabindex="0"><table>{title}<thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'


def _cell(tag: str, cell: Cell, more: str = "") -> str:
    content, kind, columns = (cell, "", 1) if isinstance(cell, str) else (*cell, 1)[:3]
    return f"<{tag}{more}{f' class={kind}' if kind else ''}{f' colspan={columns}' if columns > 1 else ''}>{content}</{tag}>"


def bar(share: float) -> str:
    """A bar of a length between 0 and 1, for the eye only."""
    return f'<span class="bar" style="width:{100 * min(max(share, 0.0), 1.0):.2f}%" aria-hidden="true"></span>'


def image(figure: Figure, alt: str, caption: str = "", vector: bool = True) -> str:
    """A matplotlib figure within the page, as SVG (sharp in print) or PNG (many points).

    Parameters
    ----------
    alt : str
        What the figure shows, in words.
    """
    buffer = io.BytesIO()
    kind = "svg+xml" if vector else "png"
    if vector:
        figure.savefig(buffer, format="svg", dpi=200, metadata={"Date": None})
    else:
        figure.savefig(buffer, format="png", dpi=200)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    below = f"<figcaption>{text(caption)}</figcaption>" if caption else ""
    return f'<figure><img alt="{text(alt)}" src="data:image/{kind};base64,{data}">{below}</figure>'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Figures of note: name over value."""
    return f'<dl class="facts">{"".join(f"<div><dt>{text(k)}</dt><dd>{text(v)}</dd></div>" for k, v in pairs)}</dl>'


def page(title: str, body: str, css: str = "", script: str = "") -> str:
    """The whole document. Its content policy forbids to load anything, and to run anything but `script`."""
    run = f"script-src 'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'; " if script else ""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; {run}img-src data:; style-src \'unsafe-inline\'">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{CSS}{css}</style></head><body>{body}{f'<script>{script}</script>' if script else ''}</body></html>\n"
    )


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 99.5 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"


def seconds(value: float) -> str:
    """A duration for people."""
    if value < 9.95:
        return f"{value:.2g} s" if value < 1 else f"{value:.1f} s"
    return f"{value:.0f} s" if value < 120 else f"{value // 60:.0f} min {value % 60:.0f} s"

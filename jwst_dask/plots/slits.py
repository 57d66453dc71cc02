"""A page of thumbnails of all slits of an exposure with the figures of the quality table, to sort and to search."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jwst_dask.plots import page, thumbs
from jwst_dask.plots.page import text

MANY = ("NRS_MSASPEC", "NRS_FIXEDSLIT", "NRS_LAMP", "NRS_AUTOWAVE", "NRS_AUTOFLAT")
"""Exposure types whose products hold many slits."""
FIRST = ("slit", "source_id", "source_name", "source_type", "sn", "coverage", "flagged", "background", "trace", "status", "message")
"""Columns that are shown at once; the others on request."""
HEADS = {"source_id": "source", "source_name": "name", "source_type": "type", "sn": "S/N", "wave_min": "from (µm)", "wave_max": "to (µm)",
         "trace": "trace (row)", "trace_fwhm": "width (px)", "seconds": "time (s)", "failed_step": "failed in", "source_xpos": "x in slit",
         "source_ypos": "y in slit", "master_background": "master bkg (DN/s)", **{f"sn_{i}": f"S/N {i}" for i in range(1, 6)}}  # fmt: skip
_BOX = (240, 44)

CSS = """
body{max-width:none}
.tools{display:flex;flex-wrap:wrap;gap:.4rem 1.2rem;align-items:center;margin:.8rem 0;font-size:.9rem}
.tools input[type=search]{font:inherit;padding:.25rem .5rem;border:1px solid var(--line);min-width:14rem}
table{width:auto;min-width:100%}
thead th{position:sticky;top:0;background:#fff;padding-top:.4rem}
thead button{all:unset;cursor:pointer;font-weight:600}
thead button:focus-visible{outline:2px solid var(--accent)}
th[aria-sort] button::after{content:" \\2191"}
th[aria-sort=descending] button::after{content:" \\2193"}
.spec{width:250px;padding-right:1.2rem}
.spec img{display:block;width:240px;height:34px;image-rendering:pixelated}
.spec svg{display:block;width:240px;height:44px;margin-top:2px}
.spec path{fill:none;stroke:var(--accent);stroke-width:1}
.spec line{stroke:var(--line)}
.spec div{display:flex;justify-content:space-between;font-size:.72rem;color:var(--soft)}
td.n,th.n{white-space:nowrap}
.all .more{display:table-cell}
.more{display:none}
.bad td,.bad th{background:#fbf1ef}
tr[hidden]{display:none}
.message{max-width:18rem;overflow-wrap:anywhere}
"""

SCRIPT = """
const table=document.querySelector('table'),body=table.tBodies[0],rows=[...body.rows],find=document.getElementById('find');
const failed=document.getElementById('failed'),count=document.getElementById('count'),heads=[...table.tHead.rows[0].cells];
function show(){const words=find.value.toLowerCase().split(/\\s+/).filter(Boolean);let n=0;
for(const row of rows){const seen=words.every(w=>row.dataset.t.includes(w))&&(!failed.checked||row.classList.contains('bad'));row.hidden=!seen;n+=seen}
count.textContent=n===rows.length?`${n} slits`:`${n} of ${rows.length} slits`}
function value(row,i){return row.cells[i].dataset.v??row.cells[i].textContent}
function sort(i){const head=heads[i],down=head.getAttribute('aria-sort')==='ascending';heads.forEach(h=>h.removeAttribute('aria-sort'));
head.setAttribute('aria-sort',down?'descending':'ascending');const sign=down?-1:1;
rows.sort((a,b)=>{const x=value(a,i),y=value(b,i);if(x===''||y==='')return(x==='')-(y==='');
const p=Number(x),q=Number(y);return sign*(isNaN(p)||isNaN(q)?x.localeCompare(y,undefined,{numeric:true}):p-q)});body.append(...rows)}
heads.forEach((head,i)=>{const button=head.querySelector('button');if(button)button.onclick=()=>sort(i)});
find.oninput=show;failed.onchange=show;document.getElementById('all').onchange=e=>table.classList.toggle('all',e.target.checked);show();
"""


@dataclass(frozen=True)
class Exposure:
    """Products of an exposure with many slits: its name, and where its rectified images, spectra and quality table are, if they are."""

    name: str
    s2d: Path | None = None
    x1d: Path | None = None
    quality: Path | None = None


@dataclass(frozen=True)
class Summary:
    """A page that was written: its slits, those that failed, and the median signal-to-noise ratio (NaN if it is not known)."""

    name: str
    path: Path
    slits: int
    failed: int
    sn: float


def exposures(products: list[Any]) -> list[Exposure]:
    """Exposures with many slits among the products of a folder (`jwst_dask.plots.record.ProductRecord`)."""
    found: dict[str, dict[str, Path]] = {}
    kinds = {}
    for product in products:
        base = product.path.stem.rpartition("_")[0]
        if product.suffix in ("s2d", "x1d", "quality"):
            found.setdefault(base, {})[product.suffix] = product.path
        if product.header.get("EXP_TYPE"):
            kinds[base] = str(product.header["EXP_TYPE"])
    return [Exposure(base, files.get("s2d"), files.get("x1d"), files.get("quality"))
            for base, files in sorted(found.items()) if kinds.get(base) in MANY or "quality" in files]  # fmt: skip


def make_page(exposure: Exposure, path: str | os.PathLike[str]) -> Summary:
    """Write the page of an exposure; one slit is read at a time.

    Raises
    ------
    InputError
        A product cannot be read.
    """
    rows = list(_rows(exposure))
    known = {name for row in rows for name in row["figures"]}
    names = [name for name in FIRST if name in known]
    names += [name for name in _order() if name in known and name not in names] + sorted(known - set(_order()))
    numeric = {name for name in names if all(isinstance(row["figures"].get(name, 0), (int, float)) for row in rows)}
    title = f"Slits of {exposure.name}"
    heads = "".join(f'<th scope="col"{_kind(name, numeric)}><button>{text(HEADS.get(name, name.replace("_", " ")))}</button></th>' for name in names)
    content = "".join(_row(row, names, numeric) for row in rows)
    ratios = [row["figures"]["sn"] for row in rows if isinstance(row["figures"].get("sn"), float)]
    failed = sum(row["figures"].get("status") == "FAILED" for row in rows)
    sn = float(np.median(ratios)) if ratios else float("nan")
    facts = page.facts([("Slits", str(len(rows))), ("Failed", str(failed)), ("Median S/N", f"{sn:.3g}" if ratios else "not known")])
    tools = ('<div class="tools"><label>Search <input type="search" id="find" placeholder="name, source, step"></label>'
             '<label><input type="checkbox" id="failed"> failed only</label><label><input type="checkbox" id="all"> all columns</label>'
             '<span class="soft" id="count" role="status"></span></div>')  # fmt: skip
    body = (f'<header><h1>{text(title)}</h1></header>{facts}{tools}<table><thead><tr><th scope="col">2-D and 1-D spectrum</th>{heads}</tr></thead>'
            f"<tbody>{content}</tbody></table>")  # fmt: skip
    target = Path(path)
    temporary = target.with_name(f".{target.name}.tmp")
    temporary.write_text(page.page(title, body, css=CSS, script=SCRIPT), encoding="utf-8")
    os.replace(temporary, target)
    return Summary(exposure.name, target, len(rows), failed, sn)


def _order() -> list[str]:
    from jwst_dask.data.quality import COLUMNS

    return list(COLUMNS)


def _kind(name: str, numeric: set[str]) -> str:
    kinds = [kind for kind, wanted in (("n", name in numeric), ("more", name not in FIRST), ("message", name == "message")) if wanted]
    return f' class="{" ".join(kinds)}"' if kinds else ""


def _row(row: Mapping[str, Any], names: list[str], numeric: set[str]) -> str:
    figures = row["figures"]
    cells = []
    for name in names:
        value = figures.get(name, "")
        exact = f' data-v="{value!r}"' if isinstance(value, float) else ""
        shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        cells.append(f"<td{_kind(name, numeric)}{exact}>{text(shown)}</td>")
    words = " ".join(str(figures.get(name, "")) for name in ("slit", "source_id", "source_name", "source_type", "status", "failed_step", "message"))
    bad = ' class="bad"' if figures.get("status") == "FAILED" else ""
    return f'<tr{bad} data-t="{text(words.lower())}"><td class="spec">{row["picture"]}</td>{"".join(cells)}</tr>'


def _rows(exposure: Exposure) -> Iterator[dict[str, Any]]:
    """Picture (HTML) and figures of each slit, in the order of the products, then those that have no products."""
    from jwst_dask.data.quality import read_quality

    given: dict[str, dict[str, Any]] = {}
    if exposure.quality is not None:
        table = read_quality(exposure.quality)
        for line in table:
            values = {name: line[name] for name in table.colnames}
            given[str(line["slit"])] = {name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()
                                        if not np.ma.is_masked(value)}  # fmt: skip
    for name, found, image, spectrum in _slits(exposure):
        figures = given.pop(name, None) or _measured(found, image, spectrum)
        yield {"picture": _picture(name, image, spectrum), "figures": figures}
    for figures in given.values():
        yield {"picture": "", "figures": figures}


def _slits(exposure: Exposure) -> Iterator[tuple[str, dict[str, Any], np.ndarray | None, np.ndarray | None]]:
    """Name, header values, 2-D and 1-D spectrum of each slit that is in a product."""
    from jwst_dask.io.fits import read, scan

    images, spectra = (None if path is None else scan(path) for path in (exposure.s2d, exposure.x1d))
    places = {} if images is None else {str(images.header(i).get("SLTNAME", hdu.ver)): hdu for i, hdu in enumerate(images.hdus) if hdu.name == "SCI"}
    for i, hdu in enumerate(spectra.hdus if spectra is not None else ()):
        if hdu.name == "EXTRACT1D" and spectra is not None:
            header = spectra.header(i)
            name = str(header.get("SLTNAME", hdu.ver))
            place = places.pop(name, None)
            yield name, _facts(name, header), None if place is None or images is None else read(images, "SCI", place.ver), _table(spectra.path, hdu, header)
    for name, place in places.items():
        if images is not None:
            yield name, _facts(name, images.header("SCI", place.ver)), read(images, "SCI", place.ver), None


def _facts(name: str, header: Any) -> dict[str, Any]:
    words = {"source_id": "SOURCEID", "source_name": "SRCNAME", "source_type": "SRCTYPE", "shutters": "SHUTSTA", "source_xpos": "SRCXPOS",
             "source_ypos": "SRCYPOS"}  # fmt: skip
    return {"slit": name, "status": "COMPLETE", **{column: header[word] for column, word in words.items() if header.get(word) not in (None, "")}}


def _table(path: str, hdu: Any, header: Any) -> np.ndarray:
    """Rows of a table of plain numbers."""
    kinds = {"D": ">f8", "E": ">f4", "J": ">i4", "I": ">i2", "K": ">i8", "L": "S1", "B": ">u1"}
    columns = []
    for i in range(1, int(header["TFIELDS"]) + 1):
        form = str(header[f"TFORM{i}"]).strip()
        repeat = int(form[:-1] or 1)
        kind = kinds.get(form[-1], "V1")
        columns.append((str(header[f"TTYPE{i}"]), kind) if repeat == 1 else (str(header[f"TTYPE{i}"]), kind, (repeat,)))
    with open(path, "rb") as file:
        file.seek(hdu.data_offset)
        return np.fromfile(file, np.dtype(columns), hdu.shape[0])


def _measured(found: Mapping[str, Any], image: np.ndarray | None, spectrum: np.ndarray | None) -> dict[str, Any]:
    """Figures from the products where there is no quality table."""
    from jwst_dask.data.quality import of_spectrum, trace

    out = dict(found)
    if image is not None:
        out["coverage"] = float(np.isfinite(image).mean()) if image.size else 0.0
        out.update(trace(image))
    if spectrum is not None:
        out.update(of_spectrum(spectrum))
    return out


def _picture(name: str, image: np.ndarray | None, spectrum: np.ndarray | None) -> str:
    wavelength = None if spectrum is None else np.asarray(spectrum["WAVELENGTH"], float)
    good = np.flatnonzero(np.isfinite(wavelength)) if wavelength is not None else np.empty(0, int)
    backwards = bool(wavelength is not None and len(good) > 1 and wavelength[good[-1]] < wavelength[good[0]])
    out = ""
    if image is not None and (source := thumbs.picture(image, backwards)):
        out = f'<img loading="lazy" decoding="async" alt="2-D spectrum of slit {text(name)}" src="{source}">'
    if spectrum is None or wavelength is None:
        return out
    path, low, high = thumbs.curve(spectrum["FLUX"], backwards, *_BOX)
    if path:
        zero = f'<line x1="0" x2="{_BOX[0]}" y1="{high / (high - low) * _BOX[1]:.1f}" y2="{high / (high - low) * _BOX[1]:.1f}"/>' if low < 0 < high else ""
        out += f'<svg viewBox="0 0 {_BOX[0]} {_BOX[1]}" role="img" aria-label="1-D spectrum of slit {text(name)}">{zero}<path d="{path}"/></svg>'
        out += f"<div><span>{wavelength[good].min():.2f} µm</span><span>{wavelength[good].max():.2f} µm</span></div>"
    return out

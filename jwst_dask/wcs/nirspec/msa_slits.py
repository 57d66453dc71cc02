"""Open slits of a NIRSpec exposure: slitlets by the MSA metafile, fixed slits by the subarray.

Source: JWST documentation, assign_wcs and "MSA metadata file"; a slitlet's edges are in shutter heights from its main shutter's centre.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jwst_dask.core.errors import InputError
from jwst_dask.core.memo import memo
from jwst_dask.data.msa import MSAMetafile, Slitlet, listed, shutter_state
from jwst_dask.data.msa_edits import COLUMNS, ROWS, X, Y
from jwst_dask.data.slits import FIXED_QUADRANT
from jwst_dask.wcs.build import needed
from jwst_dask.wcs.nirspec.slits import FIXED_SLITS, slit_number
from jwst_dask.wcs.references import WcsReferences, identity

LAMPS = ("NRS_LAMP", "NRS_AUTOWAVE", "NRS_AUTOFLAT")
BY_SUBARRAY = {"SUBS200A1": "S200A1", "SUBS200A2": "S200A2", "SUBS400A1": "S400A1", "SUBS200B1": "S200B1", "SUB2048": "S1600A1",
               "SUB512": "S1600A1", "SUB512S": "S1600A1", "SUB1024A": "S1600A1", "SUB1024B": "S1600A1"}  # fmt: skip
"""Subarrays with one fixed slit; all five are in every other."""
PITCH = 1.15
"""Height of a shutter with its share of the bars, in heights of its open area: the spacing of a slitlet's edges."""
BAR = 0.5
"""Added to a slitlet's edges, so that the bars are in the cut-out."""
SCALES = (1.35, 1.15)
"""Pitch over open area of a shutter along and across the dispersion, where the quadrant's is not known."""


def kind_of(exp_type: str, lamp_mode: str | None, grating: str | None) -> str:
    """``"msa"`` or ``"fixed"``: which slits an exposure has.

    Raises
    ------
    InputError
        For an exposure without slit spectra.
    """
    mode = str(lamp_mode or "NONE").upper()
    if str(grating or "").upper() == "MIRROR":
        raise InputError(f"GRATING is MIRROR: this {exp_type} exposure is an image, not spectra of slits")
    if exp_type in ("NRS_MSASPEC", "NRS_AUTOFLAT") or (exp_type in LAMPS and mode == "MSASPEC"):
        return "msa"
    if exp_type == "NRS_FIXEDSLIT" or (exp_type in LAMPS and mode in ("FIXEDSLIT", "BRIGHTOBJ")):
        return "fixed"
    if mode == "IFU":
        raise InputError(f"OPMODE is IFU: {exp_type} exposures of the IFU are not processed in this version")
    raise InputError(f"OPMODE is {mode}: this {exp_type} exposure has no slit spectra; the modes with spectra are FIXEDSLIT, BRIGHTOBJ and MSASPEC")


def open_slits(model: Any, refs: WcsReferences, low: float, high: float, folders: Iterable[str], notes: list[str]) -> list[Any]:
    """The open slits of an exposure, whether or not they fall on its detector.

    Parameters
    ----------
    model : JwstDataModel
        Of which only metadata are used.
    refs : WcsReferences
        With ``msa``, the geometry of the shutters.
    low, high : float
        Edges of a slit, in slit heights from its centre.
    folders : iterable of str
        Where the MSA metafile may be, if its name has no folder.
    notes : list of str
        Gets what is odd but not fatal.

    Returns
    -------
    list of stdatamodels.jwst.transforms.models.Slit

    Raises
    ------
    InputError
        For metadata or a metafile that cannot be used.
    """
    instrument, exp_type = model.meta.instrument, str(model.meta.exposure.type).upper()
    if kind_of(exp_type, instrument.lamp_mode, instrument.grating) == "fixed":
        (subarray,) = needed(model, "subarray.name")
        return fixed_slits(str(subarray), str(instrument.fixed_slit or "NONE"), low, high)
    program, point = needed(model, "observation.program_number", "dither.position_number")
    (number,) = needed(model, "instrument.msa_metadata_id")
    msa = metafile(instrument.msa_metadata_file, folders)
    scales = refs.read("msa", _scales)
    return msa_slits(msa, str(program).lstrip("0"), int(number), int(point), low, high, scales, notes)


def metafile(name: str | None, folders: Iterable[str]) -> MSAMetafile:
    """The metafile of an exposure, read once per process.

    Raises
    ------
    InputError
        When there is none or it cannot be used.
    """
    name = (name or "").strip()
    if name in ("", "N/A"):
        raise InputError("MSAMETFL is not set; give the name of the MSA metafile of this exposure in its primary header")
    places = [name] if os.path.isabs(name) else list(dict.fromkeys(os.path.join(folder, name) for folder in folders))
    path = next((place for place in places if os.path.exists(place)), None)
    if path is not None:
        return memo(("msa metafile", identity(path)), lambda: MSAMetafile.read(path))
    raise InputError(f"MSA metafile {os.path.basename(name)} (MSAMETFL) was not found; it was looked for as {', '.join(places)}; put it beside the exposure")


def _scales(tree: Mapping[str, Any]) -> dict[int, tuple[float, float]]:
    """Pitch over open area of the shutters of each quadrant, along and across the dispersion."""
    out = {}
    for quadrant in range(1, FIXED_QUADRANT):
        data = np.array(tree[f"Q{quadrant}"]["data"])
        _, x, y, width, height = (data[name] for name in data.dtype.names)
        out[quadrant] = (float((x[1] - x[0]) / width[0]), float(y[ROWS] / height[0]))
    return out


def fixed_slits(subarray: str, primary: str, low: float, high: float) -> list[Any]:
    """The fixed slits of an exposure without MSA slitlets.

    The source of the slit of the target is 1. Others have ten times the number of the target's slit plus their own.

    Raises
    ------
    InputError
        When the target's slit is none of the fixed slits.
    """
    from stdatamodels.jwst.transforms.models import Slit

    if primary not in FIXED_SLITS:
        raise InputError(f"FXD_SLIT is {primary!r}; the fixed slits are {', '.join(FIXED_SLITS[1:])} (NONE if the target is in none)")
    only = BY_SUBARRAY.get(subarray.upper())
    tens = 10 * FIXED_SLITS.index(primary)
    return [
        Slit(name, number - 1, 0, 0, 0, low, high, FIXED_QUADRANT, 1 if name == primary else tens + number, slit_id=slit_number(name))
        for number, name in enumerate(FIXED_SLITS)
        if number and only in (None, name)
    ]


def msa_slits(msa: MSAMetafile, program: str, metadata_id: int, dither_point: int, low: float, high: float,
              scales: Mapping[int, tuple[float, float]], notes: list[str]) -> list[Any]:  # fmt: skip
    """The slitlets (and fixed slits) of a configuration at a dither point, in the order of the metafile.

    Raises
    ------
    InputError
        Without rows for them, or for rows that contradict each other.
    """
    if metadata_id not in msa.metadata_ids:
        raise InputError(f"{msa.where} has no rows with MSA_METADATA_ID {metadata_id} (MSAMETID of the exposure); "
                         f"it has {listed(msa.metadata_ids)}; is it the metafile of this exposure?")  # fmt: skip
    if dither_point not in (points := msa.dither_points(metadata_id)):
        raise InputError(f"{msa.where} has no rows with DITHER_POINT_INDEX {dither_point} (PATT_NUM of the exposure) for MSA_METADATA_ID "
                         f"{metadata_id}; it has {listed(points)}; is it the metafile of this exposure?")  # fmt: skip
    found = []
    for slitlet in msa.slitlets(metadata_id, dither_point):
        slit = _fixed(msa, slitlet, program, low, high, notes) if slitlet.fixed else _slitlet(msa, slitlet, program, low, high, scales, notes)
        if slit is not None:
            found.append(slit)
    return found


def _slitlet(msa: MSAMetafile, slitlet: Slitlet, program: str, low: float, high: float,
             scales: Mapping[int, tuple[float, float]], notes: list[str]) -> Any:  # fmt: skip
    """The `Slit` of a slitlet, or None if it is in no quadrant."""
    from stdatamodels.jwst.transforms.models import Slit

    number, first, last = slitlet.slitlet_id, min(slitlet.columns), max(slitlet.columns)
    own = msa.shutters[slitlet.rows]
    _check(msa, slitlet)
    if slitlet.background:
        column, quadrant, row = first + (last - first) // 2, slitlet.quadrant, slitlet.row
        source = (number, f"{program}_BKG{number}", f"BKG{number}", 0.0, 0.0, 0.0)
        x, y = 0.0, 0.0
    else:
        main = own[own["background"] == "N"][0]
        column, quadrant, row = int(main["shutter_column"]), int(main["shutter_quadrant"]), int(main["shutter_row"])
        source = _source(msa, slitlet, program, notes)
        x, y = _offset(main[X]), _offset(main[Y])
    if not 1 <= quadrant <= 4:
        notes.append(f"{msa.where}: slitlet {number} is in quadrant {quadrant}, which does not exist: it is left out")
        return None
    if not (1 <= row <= ROWS and 1 <= column <= COLUMNS):
        raise InputError(f"{msa.where}: slitlet {number} has shutter row {row}, column {column}; rows are 1 to {ROWS}, columns 1 to {COLUMNS}")
    source_id, name, alias, stellarity, ra, dec = source
    return Slit(
        number, row + (column - 1) * ROWS, slitlet.dither_point, row, column,
        -(-low + BAR) + (first - column) * PITCH, high + BAR + (last - column) * PITCH, quadrant,
        source_id, shutter_state(slitlet.columns, column), name, alias, stellarity, x, y, ra, dec, *scales.get(quadrant, SCALES), number,
    )  # fmt: skip


def _check(msa: MSAMetafile, slitlet: Slitlet) -> None:
    own = msa.shutters[slitlet.rows]
    at = f"{msa.where}: slitlet {slitlet.name} (MSA_METADATA_ID {slitlet.metadata_id}, dither point {slitlet.dither_point})"
    if (main := int((own["primary_source"] == "Y").sum())) > 1:
        raise InputError(f"{at} has {main} shutters with a primary source; leave one with PRIMARY_SOURCE Y")
    if main and not (own["background"] == "N").any():
        raise InputError(f"{at} has a primary source, but all its shutters are background; set BACKGROUND to N in the shutter of the source")


def _fixed(msa: MSAMetafile, slitlet: Slitlet, program: str, low: float, high: float, notes: list[str]) -> Any:
    """The `Slit` of a fixed slit in a MOS exposure, or None if it has no source of its own."""
    from stdatamodels.jwst.transforms.models import Slit

    if len(slitlet.rows) != 1:
        raise InputError(f"{msa.where}: fixed slit {slitlet.name} has {len(slitlet.rows)} rows at dither point {slitlet.dither_point}; it may have one")
    if slitlet.background:
        notes.append(f"{msa.where}: fixed slit {slitlet.name} has no primary source: it is left out")
        return None
    row = msa.shutters[slitlet.rows[0]]
    source_id, name, alias, stellarity, ra, dec = _source(msa, slitlet, program, notes)
    return Slit(
        slitlet.name, FIXED_SLITS.index(slitlet.name) - 1, slitlet.dither_point, 0, 0, low, high, FIXED_QUADRANT,
        source_id, "x", name, alias, stellarity, _offset(row[X]), _offset(row[Y]), ra, dec, *SCALES, slit_number(slitlet.name),
    )  # fmt: skip


def _offset(position: Any) -> float:
    """Position in a shutter from its centre (unknown: the centre), rounded as the column's type does."""
    return float(np.nan_to_num(position, nan=0.5) - type(position)(0.5))


def _source(msa: MSAMetafile, slitlet: Slitlet, program: str, notes: list[str]) -> tuple[int, str, str, float, float, float]:
    """Number, name, alias, stellarity, ra and dec of a slitlet's source; of a stand-in if the metafile does not describe it."""
    row = msa.source(slitlet.source_id)
    if row is not None:
        numbers = (float(row[name]) for name in ("stellarity", "ra", "dec"))
        return (slitlet.source_id, str(row["source_name"]), str(row["alias"]), *numbers)  # type: ignore[return-value]
    name = f"{program}_VRT{slitlet.name}"
    notes.append(f"{msa.where}: source {slitlet.source_id} of slitlet {slitlet.name} is not in SOURCE_INFO: it is called {name}, an extended source")
    return slitlet.source_id, name, f"VRT{slitlet.name}", 0.0, 0.0, 0.0


def folders_of(path: str, members: Mapping[str, Sequence[str]]) -> list[str]:
    """Where the metafile of an exposure may be: beside it, beside other members of its association, in the working folder."""
    files = [path, *(name for names in members.values() for name in names)]
    return list(dict.fromkeys([*(os.path.dirname(os.path.abspath(f)) for f in files), os.getcwd()]))

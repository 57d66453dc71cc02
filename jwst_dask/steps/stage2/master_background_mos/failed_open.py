"""Shutters that do not close as slits of background: they see the sky in every exposure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jwst_dask.data.msa import MSAMetafile


def with_failed_open(msa: MSAMetafile, reference: str, without: Iterable[tuple[int, int, int]] = ()) -> MSAMetafile:
    """A metafile with a background slitlet for each failed-open shutter that is not in one of its slitlets.

    Parameters
    ----------
    msa : MSAMetafile
    reference : str
        File of the msaoper reference.
    without : iterable of (quadrant, row, column)
        Shutters to be left out (with a source in them, say).

    Returns
    -------
    MSAMetafile
        To be written and named as the exposure's metafile; the master background is then made from these slitlets too, or only
        from them (``background_slits``).

    Raises
    ------
    ReferenceError_
        When the reference cannot be used.
    """
    from jwst_dask.steps.stage2.msa_flagging import failed_open

    rows = msa.shutters
    taken = set(zip(rows["shutter_quadrant"].tolist(), rows["shutter_row"].tolist(), rows["shutter_column"].tolist())) | set(without)
    for shutter in failed_open(reference):
        place = int(shutter.quadrant), int(shutter.xcen), int(shutter.ycen)
        if place not in taken:
            taken.add(place)
            msa = msa.add_background(place[0], place[1], [place[2]])
    return msa

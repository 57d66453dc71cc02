"""Layout of NIRSpec IRS2 frames: reference pixels read between the others, and the reference output beside them."""

from __future__ import annotations

import numpy as np

OUTPUTS = 4
OUTPUT_ROWS = 512
"""Light-sensitive rows of one output."""


def normal_rows(nrows: int, normal: int = 16, reference: int = 4, reverse: bool = False) -> np.ndarray:
    """Rows of an IRS2 frame that have the detector's own pixels.

    A frame begins with the reference output; in each of the four outputs that follow, `reference` reference pixels come after half of
    the first `normal` pixels, and after every `normal` pixels from there.

    Parameters
    ----------
    nrows : int
        Rows of the frame (3200).
    normal, reference : int
        Pixels between reference pixels, and reference pixels in a row (NRS_NORM, NRS_REF).
    reverse : bool
        Whether the frame is read from its last row (NRS2).

    Returns
    -------
    int64[row]
        In increasing order.

    Source: NIRSpec IRS2 readout, JWST documentation.
    """
    refout = OUTPUT_ROWS + OUTPUT_ROWS // normal * reference
    one = (nrows - refout) // OUTPUTS
    keep = np.ones(nrows, bool)
    keep[:refout] = False
    light = one - one // (normal + reference) * reference
    if light % normal == 0:
        for start in range(refout + normal // 2, nrows, normal + reference):
            keep[start : start + reference] = False
    else:
        # every second output is read the other way, and the pattern is not its own mirror image
        pattern = np.ones(one, bool)
        for start in range(normal // 2, one, normal + reference):
            pattern[start : start + reference] = False
        for output in range(OUTPUTS):
            first = refout + output * one
            keep[first : first + one] = pattern[::-1] if output % 2 else pattern
    return np.flatnonzero(keep[::-1] if reverse else keep)

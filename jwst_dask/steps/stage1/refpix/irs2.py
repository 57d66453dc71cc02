"""NIRSpec IRS2 frames: bad reference pixels are found, flagged and replaced; interleaved reference pixels correct the rest and go."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from jwst_dask.core.errors import ReferenceError_
from jwst_dask.core.memo import memo
from jwst_dask.data.dq import PIXEL
from jwst_dask.kernels.ramp.irs2 import COLUMNS, NORMAL, OUTPUTS, PERIOD, REFERENCE, Corrector, is_normal, make_filters, make_tables
from jwst_dask.kernels.ramp.irs2_fourier import SLOTS
from jwst_dask.refs.load import CACHE, token
from jwst_dask.steps.stage1.stored import group_of

BAD = np.uint32(PIXEL["BAD_REF_PIXEL"])
MARK = np.uint32(PIXEL["BAD_REF_PIXEL"] | PIXEL["DO_NOT_USE"])
ROWS = OUTPUTS * COLUMNS
SLAB = 65_536
"""Rows of a reference table in memory at a time."""
READS = np.tile(~is_normal(), OUTPUTS)
"""Which of the 3200 columns are interleaved reference pixels, counting the reference output as the others; the same from either end."""


def known(flags: np.ndarray) -> np.ndarray:
    """Rows (bool[3200]) of uint32[3200, x] that have a pixel flagged as a bad reference pixel."""
    return np.asarray(((flags & BAD) != 0).any(axis=1))


def find_bad(sci: np.ndarray, bad: np.ndarray, sigma: float) -> np.ndarray:
    """Reference pixels that are bad in any of the integrations.

    Of each pair of reads the mean difference, mean and scatter in an integration are compared with those of the output's other pairs.

    Parameters
    ----------
    sci : float32[integration, group, 3200, x]
        All integrations of the exposure, as they are in the file.
    bad : bool[3200]
        Rows that are known to be bad; they are left out.
    sigma : float
        Limit in standard deviations.

    Returns
    -------
    bool[3200]
        With those that were known.
    """
    found = bad.copy()
    for groups in sci:
        found |= bad_of(np.take(groups, np.flatnonzero(READS), axis=1), bad, sigma)
    return found


def bad_of(reads: np.ndarray, bad: np.ndarray, sigma: float) -> np.ndarray:
    """Reference pixels that stand out in one integration.

    Parameters
    ----------
    reads : float32[group, 640, x]
        The rows of `READS`.
    bad, sigma
        As of `find_bad`.

    Returns
    -------
    bool[3200]
    """
    size = reads.shape[1] // OUTPUTS
    return np.concatenate([bad_of_output(reads[:, k * size : (k + 1) * size], bad[k * COLUMNS : (k + 1) * COLUMNS], sigma)
                           for k in range(OUTPUTS)])  # fmt: skip


def bad_of_output(reads: np.ndarray, bad: np.ndarray, sigma: float) -> np.ndarray:
    """The same for one output: bool[640] from float32[group, 128, x] and bool[640]."""
    found, rows = bad.copy(), np.flatnonzero(READS[:COLUMNS])
    places = np.arange(0, rows.size, 2)
    places = places[~(bad[rows[places]] | bad[rows[places] + 1])]
    for row in rows[places[_outliers(reads, places, sigma)]]:
        found[row : row + 2] = True
    return found


def _outliers(groups: np.ndarray, first: np.ndarray, sigma: float) -> np.ndarray:
    """Which pairs stand out among those of an output: bool[pair]. Means are taken in float32, as in the reference implementation."""
    from astropy.stats import sigma_clipped_stats

    high = np.zeros(first.size, bool)
    if not first.size:
        return high
    pairs = [groups[:, row : row + 2] for row in first]
    measures = (
        np.array([np.mean(np.abs(pair[:, 1] - pair[:, 0])) for pair in pairs]),
        np.array([np.mean(pair) for pair in pairs]),
        np.array([np.std(pair) for pair in pairs]),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for values in measures:
            mean, _, spread = sigma_clipped_stats(values, sigma=sigma)
            high |= (values - mean) > (sigma * spread)
    return high


def replace(columns: np.ndarray, column: int, bad: np.ndarray, output: int) -> None:
    """Replace the values of a bad reference pixel by those of its neighbours, in place.

    The mean of the reads in the blocks before and after it, or of that which is good; else the other pair of its own block; else 0,
    which is filled later.

    Parameters
    ----------
    columns : float32[integration, group, 3200, row]
    column : int
    bad : bool[3200]
    output : int
        Of which the column is part; neighbours must be too.
    """
    low, high = output * COLUMNS, (output + 1) * COLUMNS
    beside = [k for k in (column - PERIOD, column + PERIOD) if low <= k < high and not bad[k]]
    near = [k for k in (column - 2, column + 2) if low <= k < high and READS[k] and not bad[k]]
    target = columns[:, :, column]
    if len(beside) == 2:
        target[...] = (columns[:, :, beside[0]] + columns[:, :, beside[1]]) / np.float32(2)
    elif beside or near:
        target[...] = columns[:, :, (beside or near)[0]]
    else:
        target[...] = 0.0


def replace_all(sci: np.ndarray, bad: np.ndarray) -> None:
    """Replace all bad reference pixels of float32[integration, group, 3200, x] in place."""
    for row in np.flatnonzero(bad):
        replace(sci, int(row), bad, int(row) // COLUMNS)


def replace_listed(columns: np.ndarray, bad: np.ndarray, table: np.ndarray) -> None:
    """Replace those that the reference file lists and that are not known yet, in place.

    Parameters
    ----------
    columns : float32[integration, group, 3200, row]
        In detector order.
    bad : bool[3200]
        In detector order; updated.
    table : int64[n, 3]
        Output (1 to 4), first or second pair (1, 2; in the direction of reading), and one bit for each block of reference pixels.
    """
    for output in range(1, OUTPUTS):
        part = slice(output * COLUMNS, (output + 1) * COLUMNS)
        replace_listed_of(columns[:, :, part], bad[part], table, output)


def replace_listed_of(columns: np.ndarray, bad: np.ndarray, table: np.ndarray, output: int) -> None:
    """The same for the 640 columns of one output."""
    for _, pair, blocks in table[table[:, 0] == output].tolist():
        second = (pair == 2) == bool(output % 2)
        new = []
        for block in range(COLUMNS // PERIOD):
            if blocks >> block & 1:
                first = NORMAL // 2 + block * PERIOD + (REFERENCE // 2 if second else 0)
                new += [k for k in (first, first + 1) if not bad[k]]
        bad[new] = True
        for column in new:
            replace(columns, column, bad, 0)


def read_reference(path: str, n: int) -> dict[str, np.ndarray]:
    """Filters ``alpha``, ``beta`` (complex64[4, 8, 89, n // 2 + 1]) and list ``bad`` (int64[m, 3]) of a refpix reference, kept while there is room.

    Raises
    ------
    ReferenceError_
        When the file cannot be read or is not of frames with `n` rows.
    """
    return CACHE.get(("irs2", *token(path), n), lambda: _read(path, n))  # type: ignore[no-any-return]


def _read(path: str, n: int) -> dict[str, np.ndarray]:
    alpha, beta = zip(*(read_filters(path, n, sector) for sector in range(OUTPUTS - 1)))
    return {"alpha": np.stack(alpha), "beta": np.stack(beta), "bad": read_listed(path, n)}


def read_filters(path: str, n: int, sector: int) -> tuple[np.ndarray, np.ndarray]:
    """Filters of one sector (0 to 3), of the reference output and of the reference pixels: complex64[8, 89, n // 2 + 1] each.

    Raises
    ------
    ReferenceError_
        As `read_reference`.
    """
    numbers = np.empty((2, 2 * SLOTS * n), np.float32)
    with _opened(path, n) as file:
        for first in range(0, numbers.shape[1], SLAB):
            last = min(first + SLAB, numbers.shape[1])
            rows = _rows(file, first, last)
            for name, out in zip(("alpha", "beta"), numbers):
                out[first:last] = rows[f"{name}_{sector}"]
    alpha, beta = make_filters(*(part.view(np.complex64)[np.newaxis] for part in numbers), n)
    return alpha[0], beta[0]


def read_listed(path: str, n: int) -> np.ndarray:
    """Bad reference pixels that a refpix reference lists: int64[m, 3].

    Raises
    ------
    ReferenceError_
        As `read_reference`.
    """
    with _opened(path, n) as file:
        listed = file["DQ"].data if "DQ" in file else None
        if listed is None or not len(listed):
            return np.zeros((0, 3), np.int64)
        return np.stack([np.asarray(listed[name]).astype(np.int64) for name in ("OUTPUT", "ODD_EVEN", "MASK")], axis=1)


@contextlib.contextmanager
def _opened(path: str, n: int) -> Iterator[Any]:
    from astropy.io import fits

    try:
        with fits.open(path, memmap=True) as file:
            if (length := int(file["IRS2"].header["NAXIS2"])) != 2 * SLOTS * n:
                raise ReferenceError_(f"the refpix reference {path} has {length} rows in its IRS2 table, {2 * SLOTS * n} (twice {SLOTS} x {n}) "
                                      "are needed; give another file with override_refpix")  # fmt: skip
            yield file
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ReferenceError_(f"{path} is not a usable refpix reference: {error}; give another file with override_refpix") from error


def _rows(file: Any, first: int, last: int) -> Any:
    """Rows of the table of coefficients; read, not mapped, which would count as memory, where the file is not compressed."""
    table, path = file["IRS2"], str(file.filename())
    if path.endswith(".gz"):
        return table.data[first:last]
    dtype = table.columns.dtype.newbyteorder(">")
    return np.fromfile(path, dtype, last - first, offset=table.fileinfo()["datLoc"] + first * dtype.itemsize)


def correct(sci: np.ndarray, bad: np.ndarray, flipped: bool, reference: dict[str, np.ndarray], keep: bool) -> np.ndarray:
    """Subtract the reference signal.

    Parameters
    ----------
    sci : float32[integration, group, 3200, x]
        As in the file; overwritten.
    bad : bool[3200]
        Bad rows that have been replaced.
    flipped : bool
        Whether both axes are reversed on the detector (NRS2).
    reference : dict
        From `read_reference`.
    keep : bool
        Keep reference pixels.

    Returns
    -------
    float32[integration, group, 2048 or 3200, x]
        In the memory of `sci`.
    """
    ni, ng, _, n = sci.shape
    order = slice(None, None, -1 if flipped else None)
    columns = sci[:, :, order, order]
    replace_listed(columns, bad[order].copy(), reference["bad"])
    tables = memo(("irs2", n), lambda: make_tables(n))
    corrector = Corrector(tables, reference["alpha"], reference["beta"], keep)
    height = _height(keep)
    out = sci.reshape(-1)[: ni * ng * height * n].reshape(ni, ng, height, n)
    for i in range(ni):
        corrector.correct(columns[i], out[i][:, order, order])
    return out


def correct_stored(ramps: Any, index: int, replaced: Callable[[np.ndarray], None], bad: np.ndarray, flipped: bool,
                   reference: dict[str, np.ndarray], keep: bool) -> Iterator[np.ndarray]:  # fmt: skip
    """One integration of a stored ramp, group by group; a few frames are in memory.

    Parameters
    ----------
    ramps : Ramps
        Read twice.
    index : int
        Of the integration.
    replaced : callable
        Does to a group (float32[3200, x], in place) what comes first, as far as replacing bad rows.
    bad, flipped, reference, keep
        As of `correct`.

    Yields
    ------
    float32[2048 or 3200, x]
        Of each group; to be used before the next.
    """
    order, n = slice(None, None, -1 if flipped else None), ramps.shape[1]
    listed = bad[order]

    def columns(group: int) -> np.ndarray:
        plane = group_of(ramps, index, group, ("sci",)).arrays["sci"]
        replaced(plane[0, 0])
        replace_listed(plane[:, :, order, order], listed.copy(), reference["bad"])
        return plane[0, 0, order, order]  # type: ignore[no-any-return]

    mean = np.zeros((ROWS, n))
    for group in range(ramps.ngroups):
        mean += columns(group)
    mean /= ramps.ngroups
    corrector = Corrector(memo(("irs2", n), lambda: make_tables(n)), reference["alpha"], reference["beta"], keep)
    plane = np.empty((_height(keep), n), np.float32)
    for group in range(ramps.ngroups):
        ramp = columns(group)
        np.subtract(ramp, mean, out=ramp, casting="same_kind")
        corrector.correct_group(ramp, mean, plane)
        yield np.ascontiguousarray(plane[order, order])


def reads_of(ramps: Any, index: int) -> np.ndarray:
    """The rows of `READS` of an integration of a stored ramp: float32[group, 640, x]."""
    rows = np.flatnonzero(READS)
    out = np.empty((ramps.ngroups, rows.size, ramps.shape[1]), np.float32)
    for group in range(ramps.ngroups):
        out[group] = group_of(ramps, index, group, ("sci",)).arrays["sci"][0, 0, rows]
    return out


def _height(keep: bool) -> int:
    return ROWS if keep else int(is_normal().sum()) * (OUTPUTS - 1)


def strip(flags: np.ndarray, flipped: bool) -> np.ndarray:
    """Rows of pixels of flags [..., 3200, x], without reference pixels and reference output, in their memory."""
    rows = np.flatnonzero(np.tile(is_normal(), OUTPUTS - 1)) + COLUMNS
    if flipped:
        rows = ROWS - 1 - rows[::-1]
    planes = flags.reshape(-1, *flags.shape[-2:])
    out: Any = flags.reshape(-1)[: len(planes) * rows.size * flags.shape[-1]].reshape(len(planes), rows.size, flags.shape[-1])
    for plane, target in zip(planes, out):
        target[...] = plane[rows]
    return out.reshape(*flags.shape[:-2], rows.size, flags.shape[-1])  # type: ignore[no-any-return]

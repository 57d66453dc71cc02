"""Reference pixels of one frame: clipped means of groups of pixels, running medians along the sides, and their subtraction.

Each function works on one [y, x] plane, in place. Which pixels form a group is given as offsets into the plane's memory, so
that one set of loops serves every orientation of the detectors. Needs whole frames; groups and integrations are independent.

Sums follow the pairwise order of numpy, and ``single`` rounds every operation to float32: whether a value on the very limit
of clipping is kept depends on the last bit.
"""

from __future__ import annotations

import numpy as np

from jwst_dask.kernels._jit import jit

RUN = 128
"""Numbers that numpy adds up without halving."""


@jit
def _rounded(value, single):  # type: ignore[no-untyped-def]
    """To float32 if wanted; for + - * / and roots of float32 this is the same as computing in float32."""
    return np.float64(np.float32(value)) if single else value


@jit
def _run_sum(values, start, n, single):  # type: ignore[no-untyped-def]
    """Sum of at most `RUN` numbers, in eight interleaved partial sums."""
    if n < 8:
        total = -0.0
        for i in range(start, start + n):
            total = _rounded(total + values[i], single)
        return total
    part = np.empty(8, np.float64)
    for j in range(8):
        part[j] = values[start + j]
    whole = n - n % 8
    for i in range(8, whole, 8):
        for j in range(8):
            part[j] = _rounded(part[j] + values[start + i + j], single)
    for width in (1, 2, 4):
        for j in range(0, 8, 2 * width):
            part[j] = _rounded(part[j] + part[j + width], single)
    total = part[0]
    for i in range(whole, n):
        total = _rounded(total + values[start + i], single)
    return total


@jit
def pairwise_sum(values, start, n, single):  # type: ignore[no-untyped-def]
    """Sum of ``values[start:start + n]`` (float64) in numpy's order of additions.

    Halves are halved until they are short; a right half of 0 is being summed.
    """
    right, left = np.empty(64, np.int64), np.empty(64, np.float64)
    depth, size = 0, n
    while True:
        while size > RUN:
            half = size // 2
            half -= half % 8
            right[depth] = size - half
            depth += 1
            size = half
        total = _run_sum(values, start, size, single)
        start += size
        while depth and right[depth - 1] == 0:
            depth -= 1
            total = _rounded(left[depth] + total, single)
        if depth == 0:
            return total
        left[depth - 1], size = total, right[depth - 1]
        right[depth - 1] = 0


@jit
def _spread(values, scratch, n, mean, single):  # type: ignore[no-untyped-def]
    """Population standard deviation around `mean`."""
    for i in range(n):
        off = _rounded(values[i] - mean, single)
        scratch[i] = _rounded(off * off, single)
    return _rounded(np.sqrt(_rounded(pairwise_sum(scratch, 0, n, single) / n, single)), single)


@jit
def clipped_mean(values, scratch, n, limit, single):  # type: ignore[no-untyped-def]
    """Mean of what iterative clipping around the mean leaves.

    Parameters
    ----------
    values, scratch : float64[>= n]
        Numbers (reordered and overwritten), and room.
    n : int
        How many; at least one.
    limit : float
        In standard deviations, on both sides.
    single : bool
        Round every operation to float32.

    Returns
    -------
    float
        NaN if any of the numbers is not finite.
    bool
        Whether the mean counts as float64: that of equal numbers does.
    """
    equal = True
    for i in range(1, n):
        if values[i] != values[0]:
            equal = False
            break
    if equal and np.isfinite(values[0]):
        return values[0], True
    limit = _rounded(limit, single)
    while n > 0:
        mean = _rounded(pairwise_sum(values, 0, n, single) / n, single)
        reach = _rounded(_spread(values, scratch, n, mean, single) * limit, single)
        low, high = _rounded(mean - reach, single), _rounded(mean + reach, single)
        kept = 0
        for i in range(n):
            if low <= values[i] <= high:
                values[kept] = values[i]
                kept += 1
        if kept == n:
            return mean, False
        n = kept
    return np.nan, False


@jit
def group_signals(plane, pixels, ends, limit, single, signals):  # type: ignore[no-untyped-def]
    """Signal of each class of columns: the mean over its two edges of their clipped means, or that of the one there is.

    Parameters
    ----------
    plane : float32[pixel]
        The frame's memory.
    pixels : int64[n]
        Offsets of the usable reference pixels, edge by edge.
    ends : int64[2 * classes]
        Where each edge ends in `pixels`; those of class c are 2c and 2c + 1.
    limit, single : float, bool
        As of `clipped_mean`.
    signals : float64[classes]
        Receives the result.

    Returns
    -------
    bool[classes]
        False where there is no reference pixel; the signal then is 0.
    """
    longest, first = 0, 0
    for end in ends:
        longest = max(longest, end - first)
        first = end
    values, scratch = np.empty(longest, np.float64), np.empty(longest, np.float64)
    found = np.zeros(signals.size, np.bool_)
    first = 0
    for k in range(ends.size):
        n = ends[k] - first
        if k % 2 == 0:
            other, double = 0.0, False
            signals[k // 2] = 0.0
        if n > 0:
            for i in range(n):
                values[i] = plane[pixels[first + i]]
            mean, wide = clipped_mean(values, scratch, n, limit, single)
            if found[k // 2]:
                total = other + mean
                signals[k // 2] = 0.5 * (total if wide or double else _rounded(total, single))
            else:
                signals[k // 2], other, double = mean, mean, wide
            found[k // 2] = True
        first = ends[k]
    return found


@jit
def _place(window, count, value):  # type: ignore[no-untyped-def]
    """How many of the sorted ``window[:count]`` are below `value`."""
    low, high = 0, count
    while low < high:
        mid = (low + high) // 2
        if window[mid] < value:
            low = mid + 1
        else:
            high = mid
    return low


@jit
def _mirrored(row, n):  # type: ignore[no-untyped-def]
    """A row beyond an end of the detector stands for its mirror image."""
    if row < 0:
        row = -row
    return 2 * (n - 1) - row if row >= n else row


@jit
def _enter(window, counts, row):  # type: ignore[no-untyped-def]
    """Sort the numbers of a row into the window; ``counts`` are those of numbers and of NaNs in it."""
    for value in row:
        if np.isnan(value):
            counts[1] += 1
            continue
        place = _place(window, counts[0], value)
        for m in range(counts[0], place, -1):
            window[m] = window[m - 1]
        window[place] = value
        counts[0] += 1


@jit
def _leave(window, counts, row):  # type: ignore[no-untyped-def]
    """The reverse of `_enter`."""
    for value in row:
        if np.isnan(value):
            counts[1] -= 1
            continue
        for m in range(_place(window, counts[0], value), counts[0] - 1):
            window[m] = window[m + 1]
        counts[0] -= 1


@jit
def side_medians(values, sizes, length, single, out):  # type: ignore[no-untyped-def]
    """Running median along the reference pixels of one side.

    Parameters
    ----------
    values : float64[row, 4]
        The good pixels of each row first.
    sizes : int64[row]
        How many these are.
    length : int
        Rows in the window, at most ``2 * rows - 1``; an even window reaches one row less upwards.
    single : bool
        Average two middle values in float32.
    out : float64[row]
        Result; NaN where the window has no good pixel or a NaN.
    """
    n = values.shape[0]
    back = length // 2
    window, counts = np.empty(length * values.shape[1], np.float64), np.zeros(2, np.int64)
    for row in range(-back, length - back):
        r = _mirrored(row, n)
        _enter(window, counts, values[r, : sizes[r]])
    for i in range(n):
        if i:
            r = _mirrored(i - back - 1, n)
            _leave(window, counts, values[r, : sizes[r]])
            r = _mirrored(i - back + length - 1, n)
            _enter(window, counts, values[r, : sizes[r]])
        count = counts[0]
        if counts[1] or not count:
            out[i] = np.nan
        elif count % 2:
            out[i] = window[count // 2]
        else:
            out[i] = _rounded(0.5 * (window[count // 2 - 1] + window[count // 2]), single)


@jit
def side_values(plane, sides, column, signals, single, values, sizes):  # type: ignore[no-untyped-def]
    """Values of one side's pixels less the signal of their columns.

    Parameters
    ----------
    plane : float32[pixel]
        The frame's memory.
    sides : int64[row, 4]
        Offsets into the plane, -1 where there is no usable pixel.
    column : int64[4]
        Class of columns of each, -1 for none.
    signals : float64[classes]
    single : bool
        Round to float32.
    values : float64[row, 4]
        Receives the values that are there, from the left.
    sizes : int64[row]
        How many these are.
    """
    for r in range(values.shape[0]):
        sizes[r] = 0
        for c in range(values.shape[1]):
            if sides[r, c] < 0:
                continue
            value = np.float64(plane[sides[r, c]])
            if column[c] >= 0:
                value = _rounded(value - signals[column[c]], single)
            values[r, sizes[r]] = value
            sizes[r] += 1


@jit
def combine_sides(left, right, gain, out):  # type: ignore[no-untyped-def]
    """Mean of two sides (float64[row]) times `gain`; that of one where the other is NaN, 0 where both are."""
    for r in range(out.size):
        if np.isnan(left[r]):
            level = 0.0 if np.isnan(right[r]) else right[r]
        else:
            level = left[r] if np.isnan(right[r]) else 0.5 * (left[r] + right[r])
        out[r] = gain * level


@jit
def subtract_lines(plane, columns, rows, edges, along_x, single):  # type: ignore[no-untyped-def]
    """Subtract one number per detector column, then one per detector row and area, in place.

    Parameters
    ----------
    plane : float32[y, x]
    columns : float64[column]
        In the array's orientation.
    rows : float64[area, row]
        In the array's orientation: areas in the order of `columns`.
    edges : int64[area + 1]
        First column of each area, and the number of columns.
    along_x : bool
        Whether detector columns are the array's columns (otherwise its rows).
    single : bool
        Round to float32 between the two.
    """
    ny, nx = plane.shape
    for a in range(edges.size - 1):
        first, last = edges[a], edges[a + 1]
        if along_x:
            for y in range(ny):
                for x in range(first, last):
                    plane[y, x] = _rounded(plane[y, x] - columns[x], single) - rows[a, y]
        else:
            for y in range(first, last):
                for x in range(nx):
                    plane[y, x] = _rounded(plane[y, x] - columns[y], single) - rows[a, x]


@jit
def correct_miri(ramp, pixels, ends, pairs, usable, limit):  # type: ignore[no-untyped-def]
    """Four interleaved amplifiers of a MIRI frame, each with the reference pixels at both ends of its rows; in place.

    Parameters
    ----------
    ramp : float32[group, y, x]
        One integration. Its first group is subtracted meanwhile and stays as it is (NaN where it is not finite).
    pixels, ends : int64
        As of `group_signals`; class ``amplifier`` or ``2 * amplifier + row % 2``.
    pairs : bool
        Whether odd and even rows are apart.
    usable : bool
        Whether every edge has a reference pixel; otherwise no signal is subtracted.
    limit : float
        Of clipping, in standard deviations.
    """
    ngroups, ny, nx = ramp.shape
    signals = np.zeros(ends.size // 2, np.float64)
    for g in range(ngroups - 1, -1, -1):
        for y in range(ny):
            for x in range(nx):
                ramp[g, y, x] = np.float64(ramp[g, y, x]) - ramp[0, y, x] if g else ramp[0, y, x]
        if usable and g:
            group_signals(ramp[g].reshape(ny * nx), pixels, ends, limit, True, signals)
        else:
            signals[:] = 0.0
        for y in range(ny):
            for x in range(nx):
                if g:
                    signal = signals[2 * (x % 4) + y % 2] if pairs else signals[x % 4]
                    off = np.float32(ramp[g, y, x] - signal)
                    ramp[g, y, x] = np.float64(off) + ramp[0, y, x]
                else:
                    ramp[0, y, x] = (ramp[0, y, x] - ramp[0, y, x]) + ramp[0, y, x]

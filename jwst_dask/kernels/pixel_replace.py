"""Estimates for missing pixels of 2-D spectra: from neighbours, from the spatial profile of nearby wavelengths, from a model."""

from __future__ import annotations

import numpy as np

from jwst_dask.kernels._jit import jit
from jwst_dask.kernels.simplex import best_scale

DO_NOT_USE = np.uint32(1)
NON_SCIENCE = np.uint32(512)
FLUX_ESTIMATED = np.uint32(1 << 28)
NAN = np.float32(np.nan)


@jit
def _mean_of_two(plane, y, x, vertical):  # type: ignore[no-untyped-def]
    half = np.float32(2)
    if vertical:
        return (plane[y - 1, x] + plane[y + 1, x]) / half
    return (plane[y, x - 1] + plane[y, x + 1]) / half


@jit
def _mean_of_roots(plane, y, x, vertical):  # type: ignore[no-untyped-def]
    half = np.float32(2)
    if vertical:
        root = (np.sqrt(plane[y - 1, x]) + np.sqrt(plane[y + 1, x])) / half
    else:
        root = (np.sqrt(plane[y, x - 1]) + np.sqrt(plane[y, x + 1])) / half
    return root * root


@jit
def _choose_axes(plane, axes):  # type: ignore[no-untyped-def]
    """The axis along which to fill each missing pixel: 1 x, 2 y, 0 none or not missing; how many can be filled."""
    found = 0
    for y in range(2, plane.shape[0] - 1):
        for x in range(2, plane.shape[1] - 1):
            axes[y, x] = 0
            if np.isfinite(plane[y, x]):
                continue
            along_x, along_y = abs(plane[y, x - 1] - plane[y, x + 1]), abs(plane[y - 1, x] - plane[y + 1, x])
            if np.isfinite(along_x) or np.isfinite(along_y):
                axes[y, x] = 2 if not np.isfinite(along_x) or along_y < along_x else 1
                found += 1
    return found


@jit
def fill_by_gradient(data, dq, err, var1, var2, var3):  # type: ignore[no-untyped-def]
    """Replace missing pixels by the mean of two neighbours, along the axis where those differ less; in place.

    A pixel that is not finite, at least two from the first and one from the last row and column, is replaced when the two
    neighbours along x or along y have a finite difference (x first when equal). It gets FLUX_ESTIMATED and, unless it is
    NON_SCIENCE, loses DO_NOT_USE.

    Parameters
    ----------
    data, err, var1, var2, var3 : float32[integration, y, x]
        Variances are averaged as standard deviations. Give `err` again for one that is absent.
    dq : uint32[integration, y, x]

    Returns
    -------
    int
        Pixels replaced.
    """
    nt, ny, nx = data.shape
    filled = 0
    axes = np.zeros((ny, nx), np.uint8)
    for t in range(nt):
        found = _choose_axes(data[t], axes)
        filled += found
        if not found:
            continue
        for y in range(2, ny - 1):
            for x in range(2, nx - 1):
                if not axes[y, x]:
                    continue
                vertical = axes[y, x] == 2  # along which both neighbours are original values
                data[t, y, x] = _mean_of_two(data[t], y, x, vertical)
                for variance in (var1[t], var2[t], var3[t]):
                    variance[y, x] = _mean_of_roots(variance, y, x, vertical)
                err[t, y, x] = _mean_of_two(err[t], y, x, vertical)
                if not dq[t, y, x] & NON_SCIENCE:
                    dq[t, y, x] &= ~DO_NOT_USE
                dq[t, y, x] |= FLUX_ESTIMATED
    return filled


@jit
def _median(values, count):  # type: ignore[no-untyped-def]
    """Median of ``values[:count]``, which it sorts; the two middle values are averaged in float32. NaN of none."""
    if count == 0:
        return NAN
    for i in range(1, count):
        value, k = values[i], i
        while k > 0 and values[k - 1] > value:
            values[k] = values[k - 1]
            k -= 1
        values[k] = value
    return (values[(count - 1) // 2] + values[count // 2]) / np.float32(2)


@jit
def _nearby_median(plane, dq, s, near, norm, root, scratch):  # type: ignore[no-untyped-def]
    """Median over the columns `near` of a row's usable values, each divided by its column's `norm`."""
    count = 0
    for i in range(near.size):
        if dq[s, near[i]] & DO_NOT_USE:
            continue
        value = np.sqrt(plane[s, near[i]]) if root else plane[s, near[i]]
        value = value / norm[i]
        if not np.isnan(value):
            scratch[count] = value
            count += 1
    return _median(scratch, count)


@jit
def _larger(a, b):  # type: ignore[no-untyped-def]
    """The larger of two numbers, of which `a` may be NaN for none yet and `b` counts only if it is a number."""
    return b if not np.isnan(b) and (np.isnan(a) or b > a) else a


@jit
def _norms(data, err, dq, s0, s1, near):  # type: ignore[no-untyped-def]
    """Largest absolute value of each column; all 1 if no pixel stands out five times its error."""
    norm, best = np.empty(near.size, np.float32), NAN
    for i in range(near.size):
        d, top = near[i], NAN
        for s in range(s0, s1):
            if not dq[s, d] & DO_NOT_USE:
                top = _larger(top, abs(data[s, d]))
                best = _larger(best, abs(data[s, d] / err[s, d]))
        norm[i] = top
    if best < np.float32(5):
        norm[:] = 1
    return norm


@jit
def _extent(dq):  # type: ignore[no-untyped-def]
    """First and last-plus-one row and column that have usable pixels (zeros if there are none)."""
    ns, nd = dq.shape
    s0, s1, d0, d1 = ns, 0, nd, 0
    for s in range(ns):
        for d in range(nd):
            if not dq[s, d] & DO_NOT_USE:
                s0, s1, d0, d1 = min(s0, s), max(s1, s + 1), min(d0, d), max(d1, d + 1)
    return s0, s1, d0, d1


@jit
def _kinds(dq, s0, s1, d0, d1):  # type: ignore[no-untyped-def]
    """For every column: 0 nothing usable, 1 nothing to replace, 2 pixels to replace."""
    kinds = np.zeros(dq.shape[1], np.uint8)
    for d in range(d0, d1):
        bad, outside = 0, 0
        for s in range(s0, s1):
            if dq[s, d] & NON_SCIENCE:
                outside += 1
            elif dq[s, d] & DO_NOT_USE:
                bad += 1
        if bad + outside < s1 - s0:
            kinds[d] = 2 if bad else 1
    return kinds


@jit
def _near(kinds, d, reach):  # type: ignore[no-untyped-def]
    """Columns with usable pixels within `reach` of column `d`, itself left out."""
    out, count = np.empty(2 * reach, np.int64), 0
    for i in range(max(0, d - reach), min(kinds.size, d + reach + 1)):
        if i != d and kinds[i]:
            out[count] = i
            count += 1
    return out[:count]


@jit
def _factors(current, profile, norm, scratch):  # type: ignore[no-untyped-def]
    """The fitted factor and the level by which the profile of a column is multiplied (1, 1 where no fit is made)."""
    one, limit = np.float32(1), np.float32(1e20)
    peak, highest, largest, used = current[0], NAN, NAN, 0
    for i in range(current.size):
        peak = max(peak, current[i])
        largest = _larger(largest, abs(profile[i]))
    top = NAN
    relative, shape = np.empty(current.size, np.float32), np.empty(current.size, np.float32)
    for i in range(current.size):
        value = current[i] / peak
        highest, top = _larger(highest, value), _larger(top, abs(value))
        relative[i], shape[i] = abs(value), abs(profile[i])
    middle = np.empty(norm.size, np.float32)
    for i in range(norm.size):
        if not np.isnan(norm[i]):
            middle[used] = norm[i]
            used += 1
    if _median(middle, used) != one and largest < limit and top < limit:
        return best_scale(abs(highest), shape, relative, scratch), peak
    return one, one


@jit
def _replace_column(data, dq, err, var1, var2, var3, flags, s0, s1, d, near):  # type: ignore[no-untyped-def]
    """Estimate the missing pixels of one column from the profile of its neighbours; how many."""
    norm, scratch = _norms(data, err, flags, s0, s1, near), np.empty(max(near.size, s1 - s0), np.float32)
    profile, shape, current, count = np.empty(s1 - s0, np.float32), np.empty(s1 - s0, np.float32), np.empty(s1 - s0, np.float32), 0
    for s in range(s0, s1):
        profile[s - s0] = _nearby_median(data, flags, s, near, norm, False, scratch)
        if not flags[s, d] & DO_NOT_USE and not np.isnan(data[s, d]):
            shape[count], current[count] = profile[s - s0], data[s, d]
            count += 1
    if count == 0:
        return 0
    factor, level = _factors(current[:count], shape[:count], norm, scratch)
    filled = 0
    for s in range(s0, s1):
        if not flags[s, d] & DO_NOT_USE:
            continue
        if flags[s, d] & NON_SCIENCE:
            data[s, d] = np.nan
            continue
        data[s, d] = profile[s - s0] * factor * level
        for variance in (var1, var2, var3):
            sigma = _nearby_median(variance, flags, s, near, norm, True, scratch) * factor * level
            variance[s, d] = sigma * sigma
        err[s, d] = _nearby_median(err, flags, s, near, norm, False, scratch) * factor * level
        if not np.isnan(data[s, d]):
            dq[s, d] ^= DO_NOT_USE | FLUX_ESTIMATED
            filled += 1
    return filled


@jit
def fill_by_profile(data, dq, err, var1, var2, var3, reach):  # type: ignore[no-untyped-def]
    """Replace missing pixels by the scaled spatial profile of neighbouring columns; in place.

    The profile is the median of the columns within `reach`, each divided by its largest absolute value, and is scaled to the
    usable pixels of its column. Pixels that are DO_NOT_USE but not NON_SCIENCE are replaced; both bits DO_NOT_USE and
    FLUX_ESTIMATED are inverted where that gives a number.

    Parameters
    ----------
    data, err, var1, var2, var3 : float32[integration, space, dispersion]
        Turned, for vertical dispersion. Give `err` again for a variance that is absent.
    dq : uint32[integration, space, dispersion]
    reach : int
        Columns on each side.

    Returns
    -------
    int
        Pixels replaced.
    """
    filled = 0
    for t in range(data.shape[0]):
        flags = dq[t].copy()
        s0, s1, d0, d1 = _extent(flags)
        if s1 == 0:
            continue
        kinds = _kinds(flags, s0, s1, d0, d1)
        for d in range(d0, d1):
            if kinds[d] != 2:
                continue
            near = _near(kinds, d, reach)
            if near.size:
                filled += _replace_column(data[t], dq[t], err[t], var1[t], var2[t], var3[t], flags, s0, s1, d, near)
    return filled


@jit
def _bridge(values, missing):  # type: ignore[no-untyped-def]
    """Interpolate the missing values of a row linearly between the finite others; the ends are constant."""
    n, before = values.size, -1
    for i in range(n):
        if missing[i]:
            values[i] = np.nan
    for i in range(n):
        if not missing[i]:
            if np.isfinite(values[i]):
                before = i
            continue
        after = i + 1
        while after < n and (missing[after] or not np.isfinite(values[after])):
            after += 1
        if before < 0 and after == n:
            return
        if before < 0 or after == n:
            values[i] = values[after] if before < 0 else values[before]
        else:
            low, high = np.float64(values[before]), np.float64(values[after])
            values[i] = (high - low) / (after - before) * (i - before) + low


@jit
def _bridge_plane(plane, missing, root):  # type: ignore[no-untyped-def]
    ns, nd = plane.shape
    row = np.empty(nd, np.float32)
    for s in range(ns):
        for d in range(nd):
            row[d] = np.sqrt(plane[s, d]) if root else plane[s, d]
        if missing[s].any():
            _bridge(row, missing[s])
        for d in range(nd):
            plane[s, d] = row[d] * row[d] if root else row[d]


@jit
def fill_from_trace(data, dq, err, var1, var2, var3, trace):  # type: ignore[no-untyped-def]
    """Replace missing pixels by a model of the trace; in place. Errors are interpolated along the dispersion.

    Parameters
    ----------
    data, err, var1, var2, var3 : float32[integration, space, dispersion]
        As for `fill_by_profile`.
    dq : uint32[integration, space, dispersion]
    trace : float32[space, dispersion]

    Returns
    -------
    int
        Pixels replaced; they get FLUX_ESTIMATED and lose DO_NOT_USE.
    """
    nt, ns, nd = data.shape
    missing, filled = np.zeros((ns, nd), np.bool_), 0
    for t in range(nt):
        found = 0
        for s in range(ns):
            for d in range(nd):
                missing[s, d] = not np.isfinite(data[t, s, d]) and np.isfinite(trace[s, d])
                if missing[s, d]:
                    data[t, s, d] = trace[s, d]
                    dq[t, s, d] = (dq[t, s, d] & ~DO_NOT_USE) | FLUX_ESTIMATED
                    found += 1
        if found:
            for variance in (var1[t], var2[t], var3[t]):
                _bridge_plane(variance, missing, True)
            _bridge_plane(err[t], missing, False)
        filled += found
    return filled

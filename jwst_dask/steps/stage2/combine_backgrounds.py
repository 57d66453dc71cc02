"""Clipped average of background exposures, strip by strip of rows where their files can be read so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jwst_dask.kernels import clip
from jwst_dask.steps.stage2 import members

Planes = dict[str, np.ndarray]


def combine(
    found: Sequence[Mapping[str, Any]], shape: tuple[int, int], corner: tuple[int, int], sigma: float, maxiters: int, errors: bool, limit: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Average the backgrounds.

    Parameters
    ----------
    found : sequence of mapping
        States of the members (`members.member_state`), with ``corner`` and ``shape``.
    shape, corner : (int, int)
        Of the exposure: size (y, x), and first row and column on the detector.
    sigma, maxiters : float, int
        Clipping; -1 rounds for as many as change something.
    errors : bool
        Whether the error of the average is wanted.
    limit : int
        Bytes of pixels to have in memory at a time, if all members can be read in parts.

    Returns
    -------
    level : float32[y, x]
        0 where no background has a value.
    flags : uint32[y, x]
        All flags of all backgrounds.
    error : float32[y, x]
        Of the average, from the errors of the values that were not clipped; empty if it is not wanted.
    """
    level, flags = np.zeros(shape, np.float32), np.zeros(shape, np.uint32)
    error = np.zeros(shape if errors else (0, 0), np.float32)
    whole: list[Planes | None] = [None if members.is_plain(one) else members.read_member(one).arrays for one in found]
    depth = sum(int(np.asarray(one["shape"])[0]) if len(one["shape"]) == 3 else 1 for one in found)
    height = max(1, min(shape[0], limit // max(1, depth * shape[1] * 12)))
    for y0 in range(0, shape[0], height):
        strip = slice(y0, min(y0 + height, shape[0]))
        rows = strip.stop - y0
        stack = np.full((len(found), rows, shape[1]), np.nan)
        squares = np.full(stack.shape if errors else (0, 0, 0), np.nan)
        for k, one in enumerate(found):
            _fill(one, whole[k], (y0, strip.stop), corner, stack[k], squares[k] if errors else None, flags[strip], sigma, maxiters)
        mean, spread = np.empty(rows * shape[1]), np.empty(rows * shape[1] if errors else 0)
        flat = squares.reshape(len(found), -1) if errors else np.empty((0, 0))
        clip.clipped_average(stack.reshape(len(found), -1), flat, sigma, maxiters, mean, spread)
        level[strip] = mean.reshape(rows, -1)
        if errors:
            error[strip] = spread.reshape(rows, -1)
    return level, flags, error


def _fill(one: Mapping[str, Any], whole: Planes | None, rows: tuple[int, int], corner: tuple[int, int], stack: np.ndarray,
          squares: np.ndarray | None, flags: np.ndarray, sigma: float, maxiters: int) -> None:  # fmt: skip
    """Put one background's part of a strip of rows of the exposure in its place."""
    own, size = np.asarray(one["corner"]), np.asarray(one["shape"])[-2:]
    offset = (int(own[0]) - corner[0], int(own[1]) - corner[1])  # of the background's first pixel, in the exposure
    y0, y1 = max(rows[0], offset[0]), min(rows[1], offset[0] + int(size[0]))
    x0, x1 = max(0, offset[1]), min(stack.shape[1], offset[1] + int(size[1]))
    if y1 <= y0 or x1 <= x0:
        return
    window = (y0 - offset[0], y1 - offset[0], x0 - offset[1], x1 - offset[1])
    planes = _planes(one, whole, window, squares is not None)
    at = (slice(y0 - rows[0], y1 - rows[0]), slice(x0, x1))
    flags[at] |= np.bitwise_or.reduce(planes["dq"], axis=0)
    stack[at] = _collapsed(planes["sci"], len(one["shape"]), sigma, maxiters)
    if squares is not None:
        squares[at] = _collapsed(planes["err"] * planes["err"], len(one["shape"]), sigma, maxiters)


def _planes(one: Mapping[str, Any], whole: Planes | None, window: tuple[int, int, int, int], errors: bool) -> Planes:
    """The wanted arrays of a window of a background, with integration axis."""
    from jwst_dask.io.fits import read, scan

    names = ("sci", "dq", "err") if errors else ("sci", "dq")
    y0, y1, x0, x1 = window
    if whole is not None:
        return {name: whole[name][:, y0:y1, x0:x1] for name in names}
    file, out = scan(members.text(one, "path")), {}
    for name in names:
        if name.upper() in file:
            values = read(file, name.upper(), window=window).astype(np.uint32 if name == "dq" else np.float32, copy=False)
        else:
            values = np.zeros((y1 - y0, x1 - x0), np.uint32 if name == "dq" else np.float32)
        out[name] = values if values.ndim == 3 else values[None]
    return out


def _collapsed(cube: np.ndarray, ndim: int, sigma: float, maxiters: int) -> np.ndarray:
    """One value a pixel: that of a rate, or the clipped average over the integrations of a series."""
    if ndim == 2:
        return np.asarray(cube[0])
    mean = np.empty(cube[0].size)
    clip.clipped_collapse(np.ascontiguousarray(cube, np.float32).reshape(len(cube), -1), sigma, maxiters, mean)
    return mean.reshape(cube.shape[1:])

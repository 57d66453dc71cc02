"""One quiet look for all figures."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import numpy as np

INK, FAINT, GRID, NO_DATA = "#1f2430", "#8a8f99", "#e6e7ea", "#d9dadd"
SERIES = ("#2f5d8a", "#b3562b", "#4c7a52", "#7a5a92", "#8a7433", "#3d7f86")
"""Colours of curves, told apart with impaired colour vision and in grey print by their lightness."""
MAP = "cividis"

_SETTINGS: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "image.cmap": MAP,
    "svg.hashsalt": "jwst_dask",
    "figure.facecolor": "white",
}


def quiet() -> AbstractContextManager[None]:
    """Matplotlib settings for the length of a ``with`` block."""
    import matplotlib

    return matplotlib.rc_context(_SETTINGS)


def hours(time: np.ndarray, scale: str = "") -> tuple[np.ndarray, str]:
    """Days as hours since the first of them, with the label of such an axis.

    Parameters
    ----------
    time : ndarray
        float64[integration], days, of the zero point that JWST products use (JD 2400000.5); integration numbers without `scale`.
    scale : str
        ``BJD_TDB``, ``MJD_UTC`` or empty.
    """
    if not scale or not np.isfinite(time).any():
        return np.asarray(time, np.float64), "integration"
    first = float(np.nanmin(time))
    name = "BJD_TDB − 2400000.5 =" if scale.startswith("BJD") and first < 1e6 else scale
    return (time - first) * 24, f"hours from {name} {first:.5f}"


def dot(count: int) -> float:
    """Marker size for a number of points."""
    return float(np.clip(60 / np.sqrt(max(count, 1)), 1.2, 5))


def span(values: np.ndarray, low: float = 1.0, high: float = 99.0) -> tuple[float, float]:
    """Colour limits that leave outliers aside."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    lower, upper = (float(v) for v in np.percentile(finite, (low, high)))
    return (lower, upper) if upper > lower else (lower - 0.5, upper + 0.5)

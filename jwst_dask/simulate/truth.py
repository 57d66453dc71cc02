"""What was put into a simulated time series, and how well a measured light curve gives it back."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

NAME = "truth.npz"


@dataclass(frozen=True)
class Truth:
    """The injected scene.

    Attributes
    ----------
    mode : str
    folder : str
        Where the files are.
    time : ndarray
        float64[integration], mid-times of all segments, MJD UTC.
    light_curve : ndarray
        float64[integration], relative flux of the star at every wavelength.
    depth : float
        Area of the planet over that of the star.
    wavelength, flux : ndarray
        float64[n], um and Jy, outside the transit.
    exposures, level2, level3 : ndarray of str
        File names of the exposures, of the associations for spec2 (one an exposure) and tso3 (one a detector, then a joint one; none for 2-D images).
    """

    mode: str
    folder: str
    time: np.ndarray
    light_curve: np.ndarray
    depth: float
    wavelength: np.ndarray
    flux: np.ndarray
    exposures: np.ndarray
    level2: np.ndarray
    level3: np.ndarray

    def save(self, **more: np.ndarray) -> Path:
        """Write ``truth.npz`` into the folder, with more arrays if there are (see `jwst_dask.simulate.RampTruth`)."""
        path = Path(self.folder) / NAME
        values = {f.name: np.asarray(getattr(self, f.name)) for f in fields(self) if f.name != "folder"}
        np.savez(path, **(values | more))  # type: ignore[arg-type]
        return path

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Truth:
        """Read what `save` wrote; `folder` is where it is now."""
        with np.load(Path(folder) / NAME, allow_pickle=False) as file:
            values = {f.name: file[f.name] for f in fields(cls) if f.name in file.files}
        return cls(**{**values, "mode": str(values["mode"]), "folder": str(folder), "depth": float(values["depth"])})

    def recover(self, time: np.ndarray, flux: np.ndarray) -> tuple[float, float]:
        """Depth of the injected transit in a measured light curve.

        A level, a slope and the depth are fitted by least squares to the shape that was injected.

        Parameters
        ----------
        time : ndarray
            Mid-times, MJD UTC.
        flux : ndarray
            Any unit; NaN is left out.

        Returns
        -------
        depth, error : float
            Error from the scatter of the residuals.
        """
        time, flux = np.asarray(time, float), np.asarray(flux, float)
        good = np.isfinite(flux) & np.isfinite(time)
        shape = np.interp(time[good], self.time, self.light_curve) - 1
        x = (time[good] - self.time.mean()) / max(np.ptp(self.time), 1e-9)
        design = np.stack([np.ones_like(x), x, shape], axis=1)
        solution, *_ = np.linalg.lstsq(design, flux[good], rcond=None)
        residual = flux[good] - design @ solution
        variance = residual @ residual / max(good.sum() - 3, 1) * np.linalg.inv(design.T @ design)[2, 2]
        return float(self.depth * solution[2] / solution[0]), float(self.depth * np.sqrt(variance) / abs(solution[0]))

    def environment(self) -> dict[str, str]:
        """CRDS variables for the references of this time series."""
        from jwst_dask.simulate.shelf import environment

        return environment(self.folder)

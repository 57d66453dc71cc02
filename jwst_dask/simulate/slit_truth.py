"""What was put into simulated slits, and how well extracted spectra give it back."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from jwst_dask.simulate.truth import NAME

MARGIN = 0.02  # share of the wavelength range left out at each end, where pixels are lit in part


@dataclass(frozen=True)
class SlitTruth:
    """The injected scene of exposures with many slits.

    Attributes
    ----------
    mode, folder : str
    wavelength : ndarray
        float64[n], um.
    sky : ndarray
        float64[n], surface brightness of the background in MJy/sr, the same everywhere.
    source_id : ndarray
        int64[source].
    slit : ndarray of str
        Slitlet (or fixed slit) of each source.
    extended : ndarray
        bool[source].
    flux : ndarray
        float64[source, n]: Jy of point sources; MJy/sr in the middle of extended ones.
    size : ndarray
        float64[source], standard deviation along the slit in arcsec of extended sources; 0 for points.
    x, y : ndarray
        float64[source], place in the open area of the shutter (edges -0.5, 0.5); in the fixed slit without nod.
    background : ndarray of str
        Slitlets with background only.
    exposures, level2, master : ndarray of str
        File names of the exposures; of an association for each of them, the other nods as background members; and of associations of the first nod
        without background members, for which a master background is made (MOS).
    metafile : str
        MSA metafile (none for fixed slits).
    """

    mode: str
    folder: str
    wavelength: np.ndarray
    sky: np.ndarray
    source_id: np.ndarray
    slit: np.ndarray
    extended: np.ndarray
    flux: np.ndarray
    size: np.ndarray
    x: np.ndarray
    y: np.ndarray
    background: np.ndarray
    exposures: np.ndarray
    level2: np.ndarray
    master: np.ndarray
    metafile: str = ""

    def save(self, **more: np.ndarray) -> Path:
        """Write ``truth.npz`` into the folder, with more arrays if there are (see `jwst_dask.simulate.RampTruth`)."""
        path = Path(self.folder) / NAME
        values: dict[str, Any] = {f.name: np.asarray(getattr(self, f.name)) for f in fields(self) if f.name != "folder"}
        np.savez(path, **(values | more))
        return path

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> SlitTruth:
        """Read what `save` wrote; `folder` is where it is now."""
        with np.load(Path(folder) / NAME, allow_pickle=False) as file:
            values = {f.name: file[f.name] for f in fields(cls) if f.name in file.files}
        return cls(**{**values, "mode": str(values["mode"]), "metafile": str(values["metafile"]), "folder": str(folder)})

    def paths(self, names: Iterable[Any]) -> list[str]:
        """Files of the folder by name."""
        return [str(Path(self.folder) / str(name)) for name in names]

    def of(self, source_id: int, wavelength: np.ndarray) -> np.ndarray:
        """Injected spectrum of a source (Jy, or MJy/sr) at wavelengths (um); NaN outside the range of the exposures."""
        index = int(np.flatnonzero(self.source_id == int(source_id))[0])
        return np.asarray(np.interp(wavelength, self.wavelength, self.flux[index], left=np.nan, right=np.nan))

    def ratio(self, source_id: int, wavelength: np.ndarray, flux: np.ndarray) -> float:
        """Extracted over injected flux of a point source: sums over the wavelengths that have both (NaN without any)."""
        lo, hi = self.wavelength[[0, -1]]
        inside = (wavelength > lo + MARGIN * (hi - lo)) & (wavelength < hi - MARGIN * (hi - lo))
        injected = self.of(source_id, wavelength)
        good = inside & np.isfinite(flux) & np.isfinite(injected)
        return float(flux[good].sum() / injected[good].sum()) if good.any() else float("nan")

    def ratios(self, products: Iterable[str | os.PathLike[str]]) -> list[tuple[str, int, float]]:
        """Extracted over injected flux of every point source in some ``x1d`` files.

        Returns
        -------
        list of (str, int, float)
            Name of the file, number of the source, ratio.
        """
        from astropy.io import fits

        points = {int(number) for number, extended in zip(self.source_id, self.extended) if not extended}
        found = []
        for path in sorted(map(Path, products)):
            with fits.open(path) as file:
                for hdu in file[1:]:
                    number = int(hdu.header.get("SOURCEID", 0)) if hdu.name == "EXTRACT1D" else 0
                    if number in points and str(hdu.header.get("SLTNAME", "")).strip() in self.slit:
                        wavelength, flux = (np.ravel(hdu.data[name]).astype(float) for name in ("WAVELENGTH", "FLUX"))
                        found.append((path.name, number, self.ratio(number, wavelength, flux)))
        return found

    def environment(self) -> dict[str, str]:
        """CRDS variables for the references of these exposures."""
        from jwst_dask.simulate.shelf import environment

        return environment(self.folder)

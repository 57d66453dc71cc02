"""NIRSpec's optics for many slits: parameters read once for an exposure, transforms evaluated by compiled code.

The same physics as `jwst_dask.wcs.nirspec.slits`, from the same transforms of `jwst_dask.wcs.nirspec.optics`; but instead of
a gwcs object for every slit there is one program for each direction and quadrant, with a few numbers of each slit in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

import numpy as np

from jwst_dask.core.memo import memo
from jwst_dask.data.slits import SlitSpec
from jwst_dask.kernels import nirspec_optics as k
from jwst_dask.wcs.grid import METRES_TO_MICRONS, Box, box_of_shape
from jwst_dask.wcs.nirspec import box as boxes
from jwst_dask.wcs.nirspec import optics
from jwst_dask.wcs.nirspec.optics import Setting
from jwst_dask.wcs.nirspec.program import Program, Table, Writer
from jwst_dask.wcs.nirspec.slits import EDGE_SAMPLES, Pointing, dispersion, place, quadrants
from jwst_dask.wcs.references import WcsReferences
from jwst_dask.wcs.sky import aberration_correction, v23_to_sky
from jwst_dask.wcs.slitwcs import Pair, Triple

if TYPE_CHECKING:
    from jwst_dask.io.asdf_text import Fragment
    from jwst_dask.wcs.nirspec.zeropoint import Shift

MICRONS_TO_METRES = 1e-6


def optics_of(model: Any, refs: Mapping[str, str]) -> Optics:
    """The optics of an exposure; one object for exposures (and slits) with equal settings, pointing and references.

    Parameters
    ----------
    model : JwstDataModel
        Of which only metadata are used.
    refs : mapping
        Path by reference type: wavelengthrange, camera, collimator, disperser, fore, fpa, msa, ote.

    Raises
    ------
    InputError
        For metadata that are missing.
    ReferenceError_
        For a reference that is missing or unusable.
    """
    from jwst_dask.wcs.nirspec.recipe import pointing_of, setting_of

    setting, pointing = setting_of(model), pointing_of(model)
    found = WcsReferences(dict(refs), str(model.meta.instrument.name), str(model.meta.exposure.type).upper())
    return memo(("nirspec optics", astuple(setting), astuple(pointing), found.key), lambda: Optics(setting, pointing, found))


class Optics:
    """NIRSpec's optics as one exposure uses them.

    Parameters
    ----------
    setting : Setting
    pointing : Pointing
    refs : WcsReferences

    Attributes
    ----------
    order : int
        Spectral order.
    waves : list of float
        Wavelength range (metres).
    """

    def __init__(self, setting: Setting, pointing: Pointing, refs: WcsReferences) -> None:
        self.setting, self.pointing, self.refs = setting, pointing, refs
        self.grating = optics.disperser(setting, refs)
        self.order, self.waves = optics.order_and_range(setting, refs)
        self.to_sca = optics.detector_to_sca(setting)
        self.to_gwa = optics.sca_to_gwa(setting, refs, self.grating)
        self.to_grating = optics.msa_to_gwa(refs, self.grating)
        self.plain, self.angles, self.wavelength = dispersion(setting, self.grating, self.order)
        self.msa = quadrants(refs)
        self.forms: dict[Any, Any] = {}
        self._programs: dict[tuple[str, int], Program] = {}
        self._sky: Any = None

    @property
    def on_sky(self) -> bool:
        """Whether the WCS goes to the sky, not only to the MSA plane (lamps)."""
        return not self.setting.internal

    @property
    def to_telescope(self) -> tuple[Any, ...]:
        """Transforms MSA to telescope's image plane, to (V2, V3), to these without aberration, to the sky."""
        if self._sky is None:
            where = (self.pointing.v2_ref, self.pointing.v3_ref)
            self._sky = (
                optics.msa_to_oteip(self.refs),
                optics.oteip_to_v23(self.refs),
                aberration_correction(self.pointing.va_scale, *where),
                v23_to_sky(*where, self.pointing.roll_ref, self.pointing.ra_ref, self.pointing.dec_ref),
            )
        return self._sky  # type: ignore[no-any-return]

    def wcsinfo(self) -> dict[str, Any]:
        """What the optics say for the exposure's ``meta.wcsinfo``."""
        return {"waverange_start": self.waves[0], "waverange_end": self.waves[1], "spectral_order": self.order}

    def program(self, name: str, quadrant: int) -> Program:
        """The program of a direction (a function of `_PROGRAMS`) for slits of a quadrant, with the numbers of none in it."""
        key = (name, quadrant)
        if key not in self._programs:
            self._programs[key] = _PROGRAMS[name](self, self.msa[int(quadrant)][0])
        return self._programs[key]

    def slit(self, slit: Any, window: Sequence[Sequence[float]] | None = None, shape: tuple[int, int] | None = None) -> OpticsSlit:
        """The WCS of a slit's cut-out.

        Parameters
        ----------
        slit : stdatamodels.jwst.transforms.models.Slit
        window : ((x0, x1), (y0, y1)), optional
            Pixels of the exposure that are cut out, ends excluded; default the exposure itself.
        shape : (y, x), optional
            Of the cut-out, where it is not that of the window because this reaches beyond the exposure.
        """
        if window is None:
            return OpticsSlit(self, slit, (0, 0), box_of_shape(shape or (2048, 2048)))
        (x0, x1), (y0, y1) = window
        return OpticsSlit(self, slit, (int(x0), int(y0)), box_of_shape(shape or (int(y1 - y0), int(x1 - x0))))

    def boxes(self, slits: Sequence[Any]) -> list[Box | None]:
        """Bounding box of each slit's spectrum in pixels of the exposure; None for those that miss the detector."""
        return [self._box(slit) for slit in slits]

    def specs(self, slits: Sequence[Any]) -> list[SlitSpec]:
        """Those slits that fall on the detector with their boxes, in the order of quadrants, as the exposure's WCS has them."""
        ordered = sorted(slits, key=lambda slit: slit.quadrant)
        return [SlitSpec(slit, found) for slit, found in zip(ordered, self.boxes(ordered)) if found is not None]

    def _box(self, slit: Any) -> Box | None:
        view = self.slit(slit)
        extent = boxes.edge_extent(slit, view.bound("trace"), self.waves)
        still = extent if self.setting.velosys is None else boxes.edge_extent(slit, view.bound("plain trace"), self.waves)
        if not boxes.reaches_detector(*still):
            return None
        return boxes.narrowed(*extent, lambda x, y: view.bound("wavelength")(x, y)[0])


class OpticsSlit:
    """`SlitWcs` of a slit's cut-out, evaluated by the programs of `Optics`.

    Attributes
    ----------
    optics : Optics
    slit : stdatamodels.jwst.transforms.models.Slit
    origin : (int, int)
        Pixel of the exposure (x, y) that is the cut-out's first.
    box : ((x0, x1), (y0, y1))
        Bounding box in pixels of the cut-out.
    zero_point : Table or None
        Wavelengths (metres) before and after wavecorr.
    """

    def __init__(self, optics: Optics, slit: Any, origin: tuple[int, int], box: Box, zero_point: Table | None = None) -> None:
        self.optics, self.slit, self.origin, self.zero_point = optics, slit, origin, zero_point
        self._box = box
        self._bound: dict[str, Program] = {}
        self._edge: Table | None = None
        self._gwcs: Any = None

    @property
    def box(self) -> Box:
        """Bounding box in pixels of the cut-out."""
        return self._box

    @property
    def on_sky(self) -> bool:
        """Whether it goes to the sky; that of a lamp exposure ends in the MSA plane."""
        return self.optics.on_sky

    @property
    def corrected(self) -> bool:
        """Whether wavecorr changed it."""
        return self.zero_point is not None

    def with_wavecorr(self, shift: Shift) -> OpticsSlit:
        """This WCS with corrected wavelengths."""
        return OpticsSlit(self.optics, self.slit, self.origin, self._box, (shift.points, shift.values))

    def numbers(self) -> dict[str, float]:
        """Where the slit lies in its quadrant (metres), its size, its edges and the origin of the cut-out."""
        x, y, width, height = place(self.optics.msa, self.slit)
        low, high = float(self.slit.ymin), float(self.slit.ymax)
        return {
            "x0": float(self.origin[0]), "y0": float(self.origin[1]), "-x0": -float(self.origin[0]), "-y0": -float(self.origin[1]),
            "x": x, "y": y, "-x": -x, "-y": -y, "width": width, "height": height, "1/width": 1 / width, "1/height": 1 / height,
            "ymin": low, "ymax": high,
        }  # fmt: skip

    def edge_table(self) -> Table:
        """Direction cosine at the grating along the slit, and height in the slit (float64[1000] each)."""
        if self._edge is None:
            height = np.linspace(self.slit.ymin, self.slit.ymax, EDGE_SAMPLES)
            self._edge = self.optics.program("edge", self.slit.quadrant).bind(self.numbers())(0.0, height)[0], height
        return self._edge

    def bound(self, name: str) -> Program:
        """A program of `Optics` with this slit's numbers in it."""
        if name not in self._bound:
            template = self.optics.program(name, self.slit.quadrant)
            tables: dict[str, Table] = {}
            if "edge" in template.named_tables:
                tables["edge"] = self.edge_table()
            if self.zero_point is not None:
                tables |= {"zero point": self.zero_point, "inverse zero point": self.zero_point[::-1]}
            self._bound[name] = template.bind(self.numbers(), tables)
        return self._bound[name]

    def to_slit(self, x: Any, y: Any, corrected: bool = True) -> Triple:
        """Pixels to (xs, ys, wavelength)."""
        return self.bound("corrected" if corrected and self.corrected else "to_slit")(x, y)  # type: ignore[return-value]

    def wavelengths(self, x: Any, y: Any, corrected: bool = True) -> np.ndarray:
        """Wavelength of pixels (microns, NaN outside the slit), without their positions."""
        return self.bound("corrected wavelength" if corrected and self.corrected else "wavelength")(x, y)[0]

    def from_slit(self, xs: Any, ys: Any, wavelength: Any, corrected: bool = True) -> Pair:
        """Position in the slit and wavelength to pixels."""
        return self.bound("from_corrected" if corrected and self.corrected else "from_slit")(xs, ys, wavelength)  # type: ignore[return-value]

    def slit_to_msa(self, xs: Any, ys: Any) -> Pair:
        """Position in the slit to the MSA plane (metres)."""
        return self.bound("slit_to_msa")(xs, ys)  # type: ignore[return-value]

    def slit_to_v2v3(self, xs: Any, ys: Any, wavelength: Any) -> Pair:
        """Position in the slit to (V2, V3) in arcsec."""
        return self.bound("slit_to_v2v3")(xs, ys, wavelength)  # type: ignore[return-value]

    def v2v3_to_slit(self, v2: Any, v3: Any, wavelength: Any) -> Pair:
        """(V2, V3) in arcsec to the position in the slit."""
        return self.bound("v2v3_to_slit")(v2, v3, wavelength)  # type: ignore[return-value]

    def slit_to_sky(self, xs: Any, ys: Any, wavelength: Any) -> Pair:
        """Position in the slit to (ra, dec)."""
        return self.bound("slit_to_sky")(xs, ys, wavelength)  # type: ignore[return-value]

    def sky_to_slit(self, ra: Any, dec: Any, wavelength: Any) -> Pair:
        """(ra, dec) to the position in the slit."""
        return self.bound("sky_to_slit")(ra, dec, wavelength)  # type: ignore[return-value]

    def gwcs(self) -> Any:
        """The gwcs object, as products carry it; made when first asked for."""
        if self._gwcs is None:
            from jwst_dask.wcs.nirspec.single import assembled

            self._gwcs = assembled(self)
        return self._gwcs

    def fragment(self) -> Fragment:
        """The text of `gwcs` for products, without making the object."""
        from jwst_dask.wcs.nirspec.text import fragment

        return fragment(self)


def _to_quadrant(w: Writer, xs: int, ys: int, model: Any) -> list[int]:
    """Position in the slit to the MSA plane."""
    x, y = w.shift(w.scale(xs, 1.0, "width"), "x"), w.shift(w.scale(ys, 1.0, "height"), "y")
    return w.model(model, [x, y])


def _from_quadrant(w: Writer, msa: Sequence[int], model: Any) -> list[int]:
    x, y = w.model(model.inverse, msa)
    return [w.scale(w.shift(x, "-x"), 1.0, "1/width"), w.scale(w.shift(y, "-y"), 1.0, "1/height")]


def _edge(o: Optics, quadrant: Any) -> Program:
    w = Writer(2)
    return w.finish([w.model(o.to_grating, _to_quadrant(w, 0, 1, quadrant))[1]])


def _to_slit(corrected: bool, all_three: bool) -> Callable[[Optics, Any], Program]:
    def write(o: Optics, quadrant: Any) -> Program:
        w = Writer(2)
        alpha, beta, _ = w.model(o.to_gwa, w.model(o.to_sca, [w.shift(0, "x0"), w.shift(1, "y0")]))
        xs = w.scale(alpha, 0.0)
        # Above and below the slit the table gives NaN, and rounding at its ends is caught.
        height = w.table(w.scale(beta, -1.0), (np.arange(2.0), np.arange(2.0)), False, "edge")
        ys = w.emit(k.BELOW, (w.emit(k.ABOVE, (height,), (0.0,), label="ymax"),), (0.0,), label="ymin")
        before = w.model(o.to_grating, _to_quadrant(w, xs, height, quadrant))
        wave = w.emit(k.ADD, (w.model(o.wavelength, [*before[:2], alpha])[0], w.scale(ys, 0.0)))
        if corrected:
            wave = w.table(wave, (np.arange(2.0), np.arange(2.0)), True, "zero point")
        if o.on_sky:
            wave = w.scale(wave, METRES_TO_MICRONS)
        return w.finish([xs, ys, wave] if all_three else [wave])

    return write


def _from_slit(corrected: bool, metres: bool, plain: bool = False) -> Callable[[Optics, Any], Program]:
    def write(o: Optics, quadrant: Any) -> Program:
        w = Writer(3)
        wave = 2 if metres else w.scale(2, MICRONS_TO_METRES)
        if corrected:
            wave = w.table(wave, (np.arange(2.0), np.arange(2.0)), True, "inverse zero point")
        before = w.model(o.to_grating, _to_quadrant(w, 0, 1, quadrant))
        after = w.model(o.plain if plain else o.angles, [wave, *before])
        x, y = w.model(o.to_sca.inverse, w.model(o.to_gwa.inverse, after))
        return w.finish([w.shift(x, "-x0"), w.shift(y, "-y0")])

    return write


def _slit_to_msa(o: Optics, quadrant: Any) -> Program:
    w = Writer(2)
    return w.finish(_to_quadrant(w, 0, 1, quadrant))


def _from_msa(sky: bool) -> Callable[[Optics, Any], Program]:
    def write(o: Optics, quadrant: Any) -> Program:
        to_ote, to_v23, aberration, to_sky = o.to_telescope
        w = Writer(3)
        out = w.model(to_v23, w.model(to_ote, [*_to_quadrant(w, 0, 1, quadrant), w.scale(2, MICRONS_TO_METRES)]))[:2]
        return w.finish(w.model(to_sky, w.model(aberration, out)) if sky else out)

    return write


def _to_msa(sky: bool) -> Callable[[Optics, Any], Program]:
    def write(o: Optics, quadrant: Any) -> Program:
        to_ote, to_v23, aberration, to_sky = o.to_telescope
        w = Writer(3)
        v23 = w.model(aberration.inverse, w.model(to_sky.inverse, [0, 1])) if sky else [0, 1]
        msa = w.model(to_ote.inverse, w.model(to_v23.inverse, [*v23, 2]))
        return w.finish(_from_quadrant(w, msa[:2], quadrant))

    return write


_PROGRAMS: dict[str, Callable[[Optics, Any], Program]] = {
    "edge": _edge,
    "to_slit": _to_slit(corrected=False, all_three=True),
    "corrected": _to_slit(corrected=True, all_three=True),
    "wavelength": _to_slit(corrected=False, all_three=False),
    "corrected wavelength": _to_slit(corrected=True, all_three=False),
    "from_slit": _from_slit(corrected=False, metres=False),
    "from_corrected": _from_slit(corrected=True, metres=False),
    "trace": _from_slit(corrected=False, metres=True),
    "plain trace": _from_slit(corrected=False, metres=True, plain=True),
    "slit_to_msa": _slit_to_msa,
    "slit_to_v2v3": _from_msa(sky=False),
    "slit_to_sky": _from_msa(sky=True),
    "v2v3_to_slit": _to_msa(sky=False),
    "sky_to_slit": _to_msa(sky=True),
}

"""Where sources are: traces made at known positions, with noise, bad pixels, background and the negative traces of nods."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf

from jwst_dask.data.exposure import Block, Draft
from jwst_dask.kernels.centring import fit_trace
from jwst_dask.steps.stage2.source_position import Flag, measure
from jwst_dask.steps.stage2.srctype import SourceTypeStep

SHAPE = (34, 220)
PITCH, SHUTTER = 0.22, 1.15
"""Height of a pixel, and distance of shutters, in units of a shutter's open height."""


@dataclass
class Curved:
    """The WCS of a slit whose spectrum is tilted and curved."""

    shape: tuple[int, int] = SHAPE
    on_sky = False
    corrected = False

    @property
    def box(self) -> Any:
        return (-0.5, self.shape[1] - 0.5), (-0.5, self.shape[0] - 0.5)

    def row(self, x: Any, ys: float) -> Any:
        return self.shape[0] / 2 + 0.012 * x - 2e-5 * x**2 + ys / PITCH

    def to_slit(self, x: Any, y: Any, corrected: bool = True) -> Any:
        ys = (y - self.row(x, 0.0)) * PITCH
        return np.zeros_like(ys), np.where(np.abs(ys) < 3.2, ys, np.nan), 1 + 0.01 * x


def trace(wcs: Curved, ys: float, flux: Any) -> np.ndarray:
    """A point source: a Gaussian that widens along the spectrum, averaged over pixels."""
    y, x = np.indices(wcs.shape, dtype=float)
    width = 0.6 + 0.3 * x / wcs.shape[1]
    d = y - wcs.row(x, ys)
    scale = width * math.sqrt(2)
    return flux * 0.5 * (erf((d + 0.5) / scale) - erf((d - 0.5) / scale))


def observed(
    ys: float, seed: int, bright: float = 20.0, nods: bool = False, background: float = 0.0, lines: bool = False
) -> tuple[Block, Curved]:
    rng, wcs = np.random.default_rng(seed), Curved()
    x = np.arange(SHAPE[1])
    flux = bright * (1 + 0.5 * np.sin(x / 40))
    if lines:
        flux = np.where(np.abs(x % 50 - 20) < 2, 10 * bright, 0.0)
    image = trace(wcs, ys, flux) + background * (1 + 0.002 * x)
    if nods:
        image -= 0.5 * (trace(wcs, ys + SHUTTER, flux) + trace(wcs, ys + 2 * SHUTTER, flux))
    err = np.sqrt(1 + np.abs(image) * 0.05)
    sci = image + rng.normal(0, 1, SHAPE) * err
    dq = np.zeros((1, *SHAPE), "u4")
    bad = rng.random(SHAPE) < 0.05
    sci[bad], dq[0][bad] = rng.normal(0, 1000, bad.sum()), 1
    sci[rng.random(SHAPE) < 0.005] += 500  # nobody noticed
    sci[rng.random(SHAPE) < 0.01] = np.nan
    return Block(arrays={"sci": sci[None].astype("f4"), "err": err[None].astype("f4"), "dq": dq}, start=0), wcs


@pytest.mark.parametrize("more", [{}, {"nods": True}, {"background": 30.0}, {"lines": True}, {"bright": 400.0, "nods": True}], ids=str)
@pytest.mark.parametrize("ys", [-0.41, -0.1, 0.0, 0.23, 0.47])
def test_traces_are_found(ys: float, more: dict[str, Any]) -> None:
    off = []
    for seed in range(4):
        block, wcs = observed(ys, seed, **more)
        found = measure(block, wcs, ys + 0.15, 2.0, 10.0)  # type: ignore[arg-type]
        assert found.flag == Flag.MEASURED
        assert 0 < found.sigma < 0.1 * PITCH
        assert abs(found.ypos - ys) < min(5 * found.sigma, 0.1 * PITCH)
        off.append((found.ypos - ys) / PITCH)
    assert abs(np.mean(off)) < 0.03  # pixels


def test_uncertainties_are_honest() -> None:
    """Of faint sources, whose noise is what counts, the scatter of positions is what they claim."""
    pulls = []
    for seed in range(40):
        block, wcs = observed(0.1, seed, bright=3.0)
        found = measure(block, wcs, 0.12, 2.0, 5.0)  # type: ignore[arg-type]
        assert found.flag == Flag.MEASURED
        pulls.append((found.ypos - 0.1) / found.sigma)
    assert 0.4 < np.std(pulls) < 1.5 and abs(np.mean(pulls)) < 0.5


def test_what_cannot_be_measured() -> None:
    def flag(block: Block, wcs: Curved, planned: float = 0.0) -> Flag:
        return measure(block, wcs, planned, 2.0, 10.0).flag  # type: ignore[arg-type]

    assert flag(*observed(0.0, 1, bright=0.0)) == Flag.FAINT
    assert flag(*observed(0.0, 1), planned=-1.2) in (Flag.TOO_FAR, Flag.FAINT)
    block, wcs = observed(0.0, 1, bright=0.0)
    block.arrays["sci"] += 50 * np.exp(-0.5 * (wcs.to_slit(*np.indices(SHAPE, dtype=float)[::-1])[1] / 1.5) ** 2).astype("f4")
    assert flag(block, wcs) in (Flag.SHAPE, Flag.FAINT, Flag.TOO_FAR)  # as wide as the slit
    block.arrays["dq"] |= 1
    assert flag(block, wcs) == Flag.NO_DATA
    for shape in ((1, 220), (34, 1), (1, 1), (2, 2)):
        small = {name: np.ascontiguousarray(array[:, : shape[0], : shape[1]]) for name, array in observed(0.0, 1)[0].arrays.items()}
        assert flag(Block(arrays=small, start=0), Curved(shape)) != Flag.MEASURED


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), shape=st.tuples(st.integers(1, 20), st.integers(1, 20)), scale=st.sampled_from([0.0, 1e-20, 1.0, 1e30]))
def test_anything_gives_an_answer(seed: int, shape: tuple[int, int], scale: float) -> None:
    rng = np.random.default_rng(seed)
    sci = (rng.normal(size=(1, *shape)) * scale).astype("f4")
    sci[rng.random(sci.shape) < rng.random()] = rng.choice([np.nan, np.inf, 0.0])
    arrays = {"sci": sci, "err": (rng.random(sci.shape) * scale).astype("f4"), "dq": (rng.random(sci.shape) < 0.3).astype("u4")}
    found = measure(Block(arrays=arrays, start=0), Curved(shape), 0.0, 2.0, 10.0)  # type: ignore[arg-type]
    assert found.flag != Flag.MEASURED or (np.isfinite(found.ypos) and np.isfinite(found.sigma))


def test_fit_of_an_exact_profile() -> None:
    where = np.arange(-8, 8, 0.5) + 0.25
    for centre, width, height in ((0.3, 0.8, 5.0), (-1.7, 0.5, 1e-3), (1.1, 1.2, 1e6)):
        s = width * math.sqrt(2)
        value = height * 0.5 * math.sqrt(math.pi) * s * (erf((where - centre + 0.5) / s) - erf((where - centre - 0.5) / s))
        fit = fit_trace(where, value, np.full(where.size, 1e-3 * height), 2.0)
        np.testing.assert_allclose([fit[0], fit[2], fit[3]], [centre, width, height], rtol=1e-4, atol=1e-5)
        assert fit[5] < 1e-3


def draft(block: Block, wcs: Curved, planned: float, stellarity: float) -> Draft:
    from stdatamodels.jwst import datamodels

    model = datamodels.SlitModel()
    model.instance.update(name="1", stellarity=stellarity, source_xpos=0.1, source_ypos=planned)
    model.meta.exposure.type = "NRS_MSASPEC"
    made = Draft(model=model, path="x.fits", nints=1, slit=SimpleNamespace(), wcs=wcs)  # type: ignore[arg-type]
    made.first = lambda: block
    return made


def test_srctype_uses_good_positions() -> None:
    block, wcs = observed(0.2, 3)
    made = draft(block, wcs, 0.1, 1.0)
    SourceTypeStep.make().prepare(made, None)  # type: ignore[arg-type]
    assert made.model.source_ypos == 0.1 and not made.quality  # not asked for
    SourceTypeStep.make(measure_position=True).prepare(made, None)  # type: ignore[arg-type]
    assert made.model.source_ypos == made.quality["measured_ypos"] == pytest.approx(0.2, abs=0.01)
    assert made.quality["position_flag"] == Flag.MEASURED and 0 < made.quality["measured_ypos_err"] < 0.02
    assert made.model.source_xpos == 0.1


@pytest.mark.parametrize(("bright", "stellarity", "flag"), [(0.0, 1.0, Flag.FAINT), (20.0, 0.5, Flag.NOT_A_POINT)])
def test_srctype_keeps_what_is_planned(bright: float, stellarity: float, flag: Flag) -> None:
    made = draft(*observed(0.2, 3, bright=bright), 0.1, stellarity)
    SourceTypeStep.make(measure_position=True).prepare(made, None)  # type: ignore[arg-type]
    assert made.model.source_ypos == 0.1 and made.quality["position_flag"] == flag
    made.first = None
    SourceTypeStep.make(measure_position=True, source_type="POINT", source_y=-0.2).prepare(made, None)  # type: ignore[arg-type]
    assert made.model.source_ypos == -0.2 and made.quality["position_flag"] == Flag.NO_DATA

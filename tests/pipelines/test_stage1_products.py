"""What is known when all tasks are done gets into products that were laid out before; as if it had been known from the start."""

from __future__ import annotations

import bisect
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from jwst_dask.core.errors import InputError
from jwst_dask.io.layout import allocate, plan_layout, write_tile

NUMBERS = ["target.ra", "target.dec", "target.ra_uncertainty", "target.dec_uncertainty", "target.proper_motion_ra", "target.proper_motion_dec", "target.proposer_ra", "target.proposer_dec", "instrument.gwa_xtilt", "instrument.gwa_ytilt", "instrument.gwa_pxav", "instrument.gwa_pyav", "instrument.gwa_tilt", "exposure.start_time", "exposure.mid_time", "exposure.end_time", "exposure.sample_time", "exposure.frame_time", "exposure.group_time", "exposure.integration_time", "exposure.exposure_time", "exposure.measurement_time", "exposure.duration", "exposure.gain_factor", "dither.spectral_offset", "dither.spatial_offset", "dither.x_offset", "dither.y_offset", "dither.dithered_ra", "dither.dithered_dec", "velocity_aberration.va_ra_ref", "velocity_aberration.va_dec_ref", "time.barycentric_correction", "time.barycentric_expstart", "time.barycentric_expend", "time.barycentric_expmid", "time.heliocentric_correction", "time.heliocentric_expstart"]
"""Metadata that take a card of the primary header each."""
RATES = {"exposure.primary_cosmic_rays": 1.25, "exposure.extended_emission_events": 0.5}


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products all made at the same time."""
    from astropy.time import Time

    monkeypatch.setattr(Time, "now", classmethod(lambda cls: cls("2025-01-01T00:00:00")))


def planned(folder: Path, more: int, late: dict[str, Any]) -> Any:
    """A ramp product with `more` further keywords and some of the late ones, laid out and filled."""
    from stdatamodels.jwst import datamodels

    from jwst_dask.core.pipeline import Product
    from jwst_dask.core.plan import PlannedProduct
    from jwst_dask.core.ramps.products import model_of
    from jwst_dask.data.exposure import Draft

    model = datamodels.RampModel((1, 3, 6, 5))
    model.meta.filename, model.meta.instrument.name, model.meta.telescope = "x_ramp.fits", "MIRI", "JWST"
    model.meta.exposure.nints = 2
    for name, value in (dict.fromkeys(NUMBERS[:more], 0.25) | late).items():
        model[f"meta.{name}"] = value
    model, shapes, arrays = model_of("ramp", Draft(model, "x", 2))
    layout = plan_layout(model, {}, shapes=shapes)
    path = folder / ".x_ramp.fits.part"
    allocate(path, layout)
    for (hdu, _), region in layout.regions.items():
        values = np.arange(np.prod((region.nrows, *region.shape))).reshape(region.nrows, *region.shape) % 200
        values = values.astype({"SCI": np.float32, "GROUPDQ": np.uint8, "PIXELDQ": np.uint32}[hdu])
        write_tile(path, region, 0, 0, values[0] if hdu == "PIXELDQ" else values)
    return PlannedProduct(Product("ramp", "ramp"), folder / "x_ramp.fits", replace(layout, pieces=()), 1, "", temporary=path, arrays=arrays, model=model, shapes=shapes)


def grows(folder: Path) -> int:
    """How many keywords make the primary header of a product with the late ones longer by a block."""
    def longer(more: int) -> bool:
        return bool(planned(folder, more, RATES).layout.regions["SCI", 1].offset > first)

    first = planned(folder, 0, RATES).layout.regions["SCI", 1].offset
    assert longer(len(NUMBERS))
    return bisect.bisect_left(range(len(NUMBERS)), True, key=longer)


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "added": ({}, RATES), "changed": (dict.fromkeys(RATES, 7.0), RATES), "removed": (RATES, dict.fromkeys(RATES)), "none": (RATES, {}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_late_metadata_are_as_if_known_from_the_start(tmp_path: Path, frozen: None, case: str) -> None:
    """With as few and as many keywords as make headers with and without room."""
    from jwst_dask.core.ramps.products import rewrite

    (before, late), moved, edge = CASES[case], 0, grows(tmp_path)
    for more in (0, *range(edge - 3, edge + 2)):
        for folder in ("late", "known"):
            (tmp_path / str(more) / folder).mkdir(parents=True)
        one = planned(tmp_path / str(more) / "late", more, before)
        other = planned(tmp_path / str(more) / "known", more, {} if case == "removed" else before | late)
        rewrite(one, late)
        found, expected = one.temporary.read_bytes(), other.temporary.read_bytes()
        assert len(found) % 2880 == 0
        if one.layout.regions == other.layout.regions:
            assert found == expected, more
        else:
            moved += 1
            assert_alike(one.temporary, other.temporary)
        assert_opens(one.temporary, (before | late)["exposure.primary_cosmic_rays"])
    assert moved == {"added": 2, "removed": 2}.get(case, 0)  # those whose header grows by a block, or shrinks


def assert_alike(one: Path, other: Path) -> None:
    """The same cards and pixels."""
    with fits.open(one) as mine, fits.open(other) as theirs:
        mine.verify("exception")
        assert [hdu.name for hdu in mine] == [hdu.name for hdu in theirs]
        for a, b in zip(mine[:-1], theirs[:-1], strict=True):
            assert [card.image for card in a.header.cards if card.keyword] == [card.image for card in b.header.cards if card.keyword], a.name
            assert a.data is b.data or np.array_equal(a.data, b.data), a.name
    assert_opens(one, fits.getheader(other).get("PRIMECRS"))


def assert_opens(path: Path, value: float | None) -> None:
    from stdatamodels.jwst import datamodels

    with datamodels.open(str(path)) as model:
        model.validate()
        assert model.meta.exposure.primary_cosmic_rays == value and model.data.shape == (2, 3, 6, 5)
        assert model.data[1, 2, 5, 4] == 179 and model.groupdq[0, 0, 0, 7 // 5] == 1


def test_headers_are_fitted() -> None:
    from jwst_dask.io.cards import fitted, joined

    def cards(number: int) -> list[bytes]:
        return [f"KEY{k:<5}= {k:>20}".encode().ljust(80) for k in range(number)]

    for number, length in ((3, 2880), (3, 5760), (31, 2880), (32, 2880), (34, 2880), (35, 2880), (36, 5760), (30, 8640)):
        out = fitted(cards(number), length)
        assert len(out) == length and out.count(b"KEY") == number and out.rstrip().endswith(b"END")
        assert out.rindex(b"END") >= length - 2880  # readers stop at the block with END
        fits.Header.fromstring(out.decode())
    assert fitted(cards(3), 2880) == joined([*cards(3), *([b" " * 80] * 4)])
    with pytest.raises(ValueError, match="fit"):
        fitted(cards(36), 2880)


def test_no_room_for_late_metadata(tmp_path: Path) -> None:
    from jwst_dask.core.ramps.products import rewrite

    edge = grows(tmp_path)
    (tmp_path / "full").mkdir()
    more = dict.fromkeys(NUMBERS[edge : edge + 9], 1.0)
    with pytest.raises(InputError, match="no room"):
        rewrite(planned(tmp_path / "full", edge - 1, {}), RATES | more)

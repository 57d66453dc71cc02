"""Results that steps of stage 1 save: which files there are, and what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
from astropy.io import fits
from ramp_runs import raw, uncals

import jwst_dask
from jwst_dask import simulate


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One raw segment."""
    return raw("bots", tmp_path_factory.mktemp("raw"), nsegments=1)


@pytest.fixture
def made(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs stage 1; gives the products by what follows the exposure's name."""
    for name, value in simulate.environment(folder).items():
        monkeypatch.setenv(name, value)

    def run(steps: dict[str, Any], nbytes: int = 48_000_000, **parameters: Any) -> dict[str, Path]:
        out = tmp_path / str(nbytes)
        with dask.config.set({"jwst_dask.chunks.bytes": nbytes}):
            jwst_dask.run(uncals(folder), "calwebb_detector1", params={"steps": steps, **parameters}, output_dir=str(out))
        root = Path(uncals(folder)[0]).name.removesuffix("uncal.fits")
        return {path.name.removeprefix(root): path for path in out.glob("*.fits")}

    return run


def test_rates_are_saved_for_the_exposure_and_its_integrations(made: Any) -> None:
    found = made({"ramp_fit": {"save_results": True}, "gain_scale": {"save_results": True}})
    for one, all_of_them in (("0_ramp_fit.fits", "1_ramp_fit.fits"), ("gain_scale.fits", "gain_scaleints.fits"), ("rate.fits", "rateints.fits")):
        assert fits.getdata(found[one], "SCI").shape == fits.getdata(found[all_of_them], "SCI").shape[1:]
    np.testing.assert_array_equal(fits.getdata(found["gain_scale.fits"], "SCI"), fits.getdata(found["rate.fits"], "SCI"))


def test_a_step_that_finds_nothing_to_do_saves_what_it_was_given(made: Any) -> None:
    found = made({"group_scale": {"save_results": True}, "ipc": {"save_results": True, "skip": True}, "ramp_fit": {"skip": True}})
    assert fits.getval(found["group_scale.fits"], "S_GRPSCL") == "SKIPPED"
    assert "ipc.fits" not in found and "rate.fits" not in found


def test_a_ramp_that_is_not_fitted_is_saved_once(made: Any) -> None:
    found = made({"ramp_fit": {"skip": True}}, save_calibrated_ramp=True)
    assert set(found) == {"ramp.fits"} and fits.getval(found["ramp.fits"], "S_RAMP") == "SKIPPED"


@pytest.mark.parametrize("nbytes", [48_000_000, 300_000])
def test_optional_results(made: Any, nbytes: int) -> None:
    found = made({"ramp_fit": {"save_opt": True, "opt_name": "slopes"}, "dark_current": {"dark_output": "dark.asdf"}}, nbytes)
    assert {"slopes_fitopt.fits", "dark.fits", "rate.fits", "rateints.fits"} == set(found)
    with fits.open(found["slopes_fitopt.fits"]) as file:
        assert file["SLOPE"].data.shape[0] == 5 and "PRIMECRS" in file[0].header


def test_likelihood(made: Any) -> None:
    found = made({"ramp_fit": {"save_opt": True, "algorithm": "LIKELY"}})
    with fits.open(found["likely_chisq.fits"]) as file:
        assert file["SCI"].header["BUNIT"] == "DN" and "ERR" not in file

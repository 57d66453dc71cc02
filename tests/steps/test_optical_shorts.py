"""The check for glowing shutters on scenes whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from jwst_dask.steps.stage2.optical_shorts import black_body, find_glows, joined

SHAPE, WIDTH, NOISE = (240, 640), 16, 0.02
WAVES = np.linspace(0.6, 5.3, 300)


def x_of(column):
    """Where a shutter of this column throws each wavelength: prism-like, slow in the blue."""
    return column * 2.0 + 60 * (WAVES - 0.6) + 4 * (WAVES - 0.6) ** 2


def traces():
    centres, parts = (np.arange(SHAPE[1] // WIDTH) + 0.5) * WIDTH - 0.5, []
    for column in range(1, 120, 4):
        waves = np.interp(centres, x_of(column), WAVES, np.nan, np.nan)
        for row in range(2, 46):
            parts.append((np.array([[1, column, row]]), np.where(np.isfinite(waves), row * 5.0 + 0.004 * centres, np.nan)[None], waves[None]))
    return joined(parts, WIDTH)


def image(glows=(), flat=None, seed=0):
    rng = np.random.default_rng(seed)
    out = 0.3 + 0.05 * np.sin(np.arange(SHAPE[1]) / 60) + NOISE * rng.standard_normal(SHAPE)
    x = np.arange(SHAPE[1])
    for column, row, temperature, peak in glows:
        waves = np.interp(x, x_of(column), WAVES, np.nan, np.nan)
        light = black_body(waves, temperature) * np.gradient(waves)
        light = np.nan_to_num(light / np.nanmax(light) * peak)
        for shift in range(-2, 3):
            out[np.rint(row * 5 + 0.004 * x).astype(int) + shift, x] += light
    if flat is not None:
        out[flat * 5 - 2 : flat * 5 + 3] += 0.05
    out[rng.random(SHAPE) < 0.004] += 5  # hot pixels
    return out.astype(np.float32), np.full(SHAPE, NOISE, np.float32)


@pytest.mark.parametrize("temperature", [300.0, 550.0, 900.0])
def test_a_glow_is_found_with_its_place_and_temperature(temperature):
    sci, err = image([(57, 20, temperature, 0.05)])
    table = find_glows(sci, err, np.ones(SHAPE, bool), traces())
    assert len(table) == 1
    row = table[0]
    assert (row["quadrant"], row["ycen"]) == (1, 20) and abs(row["xcen"] - 57) <= 8 and abs(row["y"] - 101) < 2
    assert abs(row["temperature"] - temperature) < max(3 * row["temperature_error"], 0.12 * temperature)
    assert row["significance"] > 10 and abs(row["excess"] - 0.05) < 0.015
    assert row["x_stop"] > row["x_start"] > 114


def test_several_are_told_apart_strongest_first():
    sci, err = image([(30, 12, 500.0, 0.04), (80, 33, 700.0, 0.1)])
    table = find_glows(sci, err, np.ones(SHAPE, bool), traces())
    assert [int(n) for n in table["ycen"]] == [33, 12] and (np.diff(table["significance"]) < 0).all()


def test_nothing_is_found_where_nothing_glows():
    for seed in range(4):
        sci, err = image(seed=seed)
        assert len(find_glows(sci, err, np.ones(SHAPE, bool), traces())) == 0


def test_open_shutters_and_stripes_are_no_shorts():
    sci, err = image([(57, 20, 600.0, 0.2)], flat=30)
    usable = np.ones(SHAPE, bool)
    usable[95:110] = False
    sci[~usable] = np.nan
    assert len(find_glows(sci, err, usable, traces())) == 0


def test_black_body_peaks_where_theory_says():
    waves = np.linspace(0.5, 20, 200001)
    for temperature in (300.0, 1000.0):
        assert waves[np.argmax(black_body(waves, temperature))] * temperature == pytest.approx(3669.7, rel=1e-3)  # photon form of Wien's law

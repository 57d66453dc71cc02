"""Made-up ramps and reference files for steps of stage 1: the same for the reference implementation and for this one."""

import numpy as np
from astropy.io import fits

IRS2 = (3200, 5)
CORNER = (201, 101)  # first row and column of the subarray
MARGIN = (7, 5)  # rows and columns by which reference images begin before it


def case(alias, refs=(), params=None, **ramp):
    """A step, the reference files it finds, its parameters and the ramp it works on."""
    return {"alias": alias, "refs": dict(refs), "params": params or {}, "ramp": ramp}


SAT = {"saturation": {}, "superbias": {}}
MIRI = {"instrument": "MIRI", "corner": (1, 1)}
IR = {"shape": IRS2, "nints": 1, "ngroups": 4, "instrument": "NIRSPEC", "corner": (1, 1), "zero": True}
DARK1 = {"ngroups": 40, "nframes": 1, "groupgap": 0}
CASES = {
    "group_scale": case("group_scale", nframes=3, divisor=4),
    "group_scale_equal": case("group_scale", nframes=4, divisor=4),
    "dq_init": case("dq_init", {"mask": {}}),
    "sat": case("saturation", SAT, zero=True),
    "sat_frames": case("saturation", SAT, nframes=4, zero=True, seed=2),
    "sat_frames_nobias": case("saturation", {"saturation": {}}, nframes=8, seed=3),
    "sat_grow0": case("saturation", SAT, {"n_pix_grow_sat": 0}, nframes=4, seed=4),
    "sat_grow2": case("saturation", SAT, {"n_pix_grow_sat": 2}, nframes=4, zero=True, seed=5),
    "sat_plain": case("saturation", SAT, {"use_readpatt": False}, nframes=4, seed=6),
    "sat_flagged": case("saturation", SAT, nframes=4, seed=7, flagged=True),
    "sat_1group": case("saturation", SAT, nframes=4, ngroups=1, nints=1),
    "sat_2groups": case("saturation", SAT, nframes=4, ngroups=2),
    "sat_irs2": case("saturation", {"saturation": {"rows": 2048}, "superbias": {}}, nframes=5, **IR, detector="NRS1"),
    "sat_irs2_nrs2": case("saturation", {"saturation": {"rows": 2048}}, {"n_pix_grow_sat": 2}, nframes=5, **IR, detector="NRS2"),
    "superbias": case("superbias", {"superbias": {}}, zero=True),
    "superbias_irs2": case("superbias", {"superbias": {}}, **IR, detector="NRS1"),
    "linearity": case("linearity", {"linearity": {}}, zero=True, flagged=True),
    "linearity_reads": case("linearity", {"linearity": {"inverse": True}}, zero=True, flagged=True, nframes=4),
    "linearity_reads_2": case("linearity", {"linearity": {"inverse": True}}, flagged=True, nframes=4, ngroups=2),
    "linearity_inverse_unused": case("linearity", {"linearity": {"inverse": True}}, flagged=True),
    "dark": case("dark_current", {"dark": {"ngroups": 9, "nframes": 1, "groupgap": 0}}),
    "dark_average": case("dark_current", {"dark": DARK1}, {"average_dark_current": 0.5}, nframes=4, groupgap=1),
    "dark_extended": case("dark_current", {"dark": {"ngroups": 5, "nframes": 1, "groupgap": 0, "scalar": 0.02}}),
    "dark_average_extended": case("dark_current", {"dark": {"ngroups": 21, "nframes": 1, "groupgap": 0}}, nframes=4, groupgap=1),
    "dark_groups_extended": case("dark_current", {"dark": {"ngroups": 6, "nframes": 2, "groupgap": 3, "plane": True}}, nframes=2, groupgap=3),
    "dark_too_coarse": case("dark_current", {"dark": {"ngroups": 9, "nframes": 8, "groupgap": 0}}, nframes=4),
    "dark_miri": case("dark_current", {"dark": {"ngroups": 9, "nframes": 1, "groupgap": 0, "nints": 2}}, nints=4, **MIRI),
    "dark_miri_later": case("dark_current", {"dark": {"ngroups": 5, "nframes": 1, "groupgap": 0, "nints": 3}}, start=4, **MIRI),
    "dark_miri_average": case("dark_current", {"dark": DARK1 | {"nints": 3}}, nframes=2, groupgap=1, **MIRI),
    "dark_miri_average_later": case("dark_current", {"dark": DARK1 | {"nints": 3}}, nframes=2, groupgap=1, start=4, **MIRI),
    "reset": case("reset", {"reset": {"nints": 3, "ngroups": 5}}, nints=5, **MIRI),
    "reset_later": case("reset", {"reset": {"nints": 4, "ngroups": 15}}, nints=3, start=3, **MIRI),
    "rscd": case("rscd", {"rscd": {}}, nints=3, saturated=True, **MIRI),
    "rscd_later": case("rscd", {"rscd": {}}, nints=3, start=4, saturated=True, **MIRI),
    "rscd_short": case("rscd", {"rscd": {}}, nints=2, ngroups=5, saturated=True, **MIRI),
    "rscd_seven": case("rscd", {"rscd": {"first": -1}}, nints=2, ngroups=7, saturated=True, **MIRI),
    "rscd_three": case("rscd", {"rscd": {}}, nints=1, ngroups=3, saturated=True, **MIRI),
    "rscd_two": case("rscd", {"rscd": {}}, nints=1, ngroups=2, saturated=True, **MIRI),
    "rscd_unknown": case("rscd", {"rscd": {}}, subarray="SUB64", **MIRI),
    "firstframe": case("firstframe", saturated=True, **MIRI),
    "firstframe_all": case("firstframe", (), {"bright_use_group1": False}, saturated=True, **MIRI),
    "firstframe_three": case("firstframe", ngroups=3, **MIRI),
    "lastframe": case("lastframe", **MIRI),
    "lastframe_two": case("lastframe", ngroups=2, **MIRI),
    "charge_migration": case("charge_migration", flagged=True),
    "charge_migration_low": case("charge_migration", (), {"signal_threshold": 15000.0}, seed=5),
    "persistence": case("persistence", (), {"persistence_time": 40}, saturated=True, nints=4),
    "persistence_signal": case("persistence", (), {"persistence_time": 200, "dn_threshold": 28000.0, "persistence_dnu": True}, saturated=True, nints=4,
                               times=True),
    "persistence_unset": case("persistence"),
    "ipc": case("ipc", {"ipc": {"shape": (3, 3)}}),
    "ipc_edge": case("ipc", {"ipc": {"shape": (5, 3)}}, corner=(1, 1)),
    "ipc_even": case("ipc", {"ipc": {"shape": (4, 4)}}, corner=(2030, 2032)),
    "ipc_pixels": case("ipc", {"ipc": {"shape": (3, 3, 40, 40)}}, corner=(3, 2)),
    "ipc_miri": case("ipc", {"ipc": {"shape": (3, 3)}}, **MIRI),
    "ipc_irs2": case("ipc", {"ipc": {"shape": (3, 3)}}, **IR, detector="NRS2"),
}  # fmt: skip


def scene(
    nints=2,
    ngroups=8,
    shape=(18, 16),
    seed=1,
    corner=CORNER,
    nframes=1,
    groupgap=0,
    instrument="NIRCAM",
    detector=None,
    divisor=None,
    zero=False,
    flagged=False,
    saturated=False,
    start=None,
    subarray="SLITLESSPRISM",
    times=False,
):
    """Arrays by name, and metadata by datamodel path."""
    rng = np.random.default_rng(seed)
    ny, nx = shape
    slope = np.exp(rng.uniform(2, 10.5, (nints, 1, ny, nx)))
    steps = np.arange(1, ngroups + 1)[:, None, None] * 0.7
    sci = (
        rng.normal(11000, 300, (ny, nx))
        + np.minimum(slope * steps, rng.uniform(4e4, 6e4, (ny, nx)))
        + rng.normal(0, 12, (nints, ngroups, ny, nx))
    ).astype("f4")
    sci[rng.random(sci.shape) < 0.01] = 0
    late = rng.random((nints, 1, ny, nx)) < 0.15  # hits that saturate within a group
    hit = rng.integers(0, ngroups, (nints, 1, ny, nx)) if ngroups > 1 else np.zeros((nints, 1, ny, nx), int)
    group = np.arange(ngroups)[:, None, None]
    sci = np.where(late & (group == hit), sci + rng.uniform(0, 4e4, late.shape), sci)
    sci = np.where(late & (group > hit), 62000, sci).astype("f4")
    groupdq = (rng.random(sci.shape) < 0.02).astype("u1")
    if flagged:
        groupdq |= np.where(rng.random(sci.shape) < 0.02, 2, 0).astype("u1")
    if flagged or saturated:
        groupdq |= np.where(np.maximum.accumulate(sci > 45000, axis=1), 2, 0).astype("u1")
    pixeldq = np.where(rng.random((ny, nx)) < 0.05, 2048, 0).astype("u4")
    arrays = {"sci": sci, "groupdq": groupdq, "pixeldq": pixeldq}
    if zero:
        frame = (sci[:, 0] - rng.uniform(-100, 400, (nints, ny, nx))).astype("f4")
        frame[rng.random(frame.shape) < 0.1] = 0
        arrays["zeroframe"] = frame
    detector = detector or {"MIRI": "MIRIMAGE", "NIRCAM": "NRCA1", "NIRSPEC": "NRS1"}[instrument]
    exposure = {"nints": nints, "ngroups": ngroups, "nframes": nframes, "groupgap": groupgap, "frame_divisor": divisor, "zero_frame": zero,
                "readpatt": "FASTR1", "type": "NRC_IMAGE", "start_time": 59000.25, "group_time": 11.5, "integration_time": 92.0, "nsamples": 1,
                "nrs_normal": 16, "nrs_reference": 4, "integration_start": start, "integration_end": None if start is None else start + nints - 1}  # fmt: skip
    meta = {f"exposure.{name}": value for name, value in exposure.items() if value is not None}
    ysize = 2048 if ny == IRS2[0] else ny
    meta |= {"instrument.name": instrument, "instrument.detector": detector, "subarray.name": subarray, "subarray.xstart": corner[1],
             "subarray.ystart": corner[0], "subarray.xsize": nx, "subarray.ysize": ysize}  # fmt: skip
    rows = 59000.26 + 95.0 / 86400 * np.arange(nints) if times else None
    return arrays, meta, rows


def write_reference(folder, kind, arrays, meta, options):
    """A reference file of a type for such an exposure; gives its path."""
    rng = np.random.default_rng(sum(map(ord, kind)))
    hdus = {"mask": _mask, "saturation": _saturation, "superbias": _superbias, "linearity": _linearity, "dark": _dark, "reset": _reset, "rscd": _rscd,
            "ipc": _ipc}[kind](rng, arrays["sci"].shape, meta, dict(options))  # fmt: skip
    path = f"{folder}/{kind}.fits"
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def definitions(*names):
    """A DQ_DEF table in which these names have bits 0, 1, ..."""
    columns = [fits.Column("BIT", "J", array=np.arange(len(names))), fits.Column("VALUE", "J", array=2 ** np.arange(len(names))),
               fits.Column("NAME", "40A", array=list(names)), fits.Column("DESCRIPTION", "80A", array=list(names))]  # fmt: skip
    return fits.BinTableHDU.from_columns(columns, name="DQ_DEF")


def _around(shape, meta, rows=None):
    """Primary header and shape of an image that covers the exposure and more, or an IRS2 frame."""
    header, (ny, nx) = fits.PrimaryHDU(), (rows or shape[-2], shape[-1])
    y, x = meta["subarray.ystart"], meta["subarray.xstart"]
    if shape[-2] != IRS2[0] and meta["instrument.name"] != "MIRI":
        y, x, ny, nx = y - MARGIN[0], x - MARGIN[1], ny + 3 * MARGIN[0], nx + 4 * MARGIN[1]
    for name, value in (("SUBSTRT1", x), ("SUBSTRT2", y), ("SUBSIZE1", nx), ("SUBSIZE2", 2048 if ny == IRS2[0] else ny)):
        header.header[name] = value
    return header, (ny, nx)


def _sprinkle(rng, shape, top, share=0.08):
    return np.where(rng.random(shape) < share, rng.integers(1, top, shape), 0)


def _mask(rng, shape, meta, options):
    header, area = _around(shape, meta)
    return [header, fits.ImageHDU(_sprinkle(rng, area, 8, 0.2).astype("u1"), name="DQ"), definitions("DO_NOT_USE", "HOT", "NON_SCIENCE")]


def _saturation(rng, shape, meta, options):
    header, area = _around(shape, meta, options.get("rows"))
    data = rng.uniform(45000, 60000, area).astype("f4")
    data[rng.random(area) < 0.03] = np.nan
    dq = fits.ImageHDU(_sprinkle(rng, area, 4).astype("i4"), name="DQ")
    return [header, fits.ImageHDU(data, name="SCI"), dq, definitions("NO_SAT_CHECK", "DO_NOT_USE")]


def _superbias(rng, shape, meta, options):
    header, area = _around(shape, meta)
    data = rng.normal(11000, 300, area).astype("f4")
    data[rng.random(area) < 0.03] = np.nan
    dq = fits.ImageHDU(_sprinkle(rng, area, 2).astype("i4"), name="DQ")
    return [header, fits.ImageHDU(data, name="SCI"), dq, definitions("UNRELIABLE_BIAS")]


def _linearity(rng, shape, meta, options):
    header, area = _around(shape, meta)
    hdus = [header, fits.ImageHDU(_sprinkle(rng, area, 2).astype("i4"), name="DQ"), definitions("NO_LIN_CORR")]
    for name, sign in (("COEFFS", 1), ("INV_COEFFS", -1))[: 2 if options.get("inverse") else 1]:
        coeffs = np.zeros((5, *area), "f4")
        for k, size in enumerate((0, 1, 1e-6, 3e-12, 2e-17)):
            coeffs[k] = size * (sign if k > 1 else 1) * rng.uniform(0.95, 1.05, area)
        coeffs[2][rng.random(area) < 0.03] = np.nan
        coeffs[1][rng.random(area) < 0.03] = 0
        hdus.append(fits.ImageHDU(coeffs, name=name))
    return hdus


def _dark(rng, shape, meta, options):
    header, area = _around(shape, meta)
    area = area if meta["instrument.name"] == "MIRI" else tuple(shape[-2:])
    for name, value in (("SUBSTRT1", meta["subarray.xstart"]), ("SUBSTRT2", meta["subarray.ystart"]), ("SUBSIZE1", area[1]), ("SUBSIZE2", area[0]),
                        ("NGROUPS", options["ngroups"]), ("NFRAMES", options["nframes"]), ("GROUPGAP", options["groupgap"]),
                        ("AVDRKCUR", options.get("scalar"))):  # fmt: skip
        if value is not None:
            header.header[name] = value
    lead = (options["nints"],) if "nints" in options else ()
    data = np.cumsum(rng.normal(0.3, 1.0, (*lead, options["ngroups"], *area)), axis=-3).astype("f4")
    data[rng.random(data.shape) < 0.02] = np.nan
    dq = _sprinkle(rng, (*lead, 1, *area) if lead else area, 2).astype("u1")
    hdus = [header, fits.ImageHDU(data, name="SCI"), fits.ImageHDU(dq, name="DQ"), definitions("UNRELIABLE_DARK")]
    return [*hdus, fits.ImageHDU(np.full(area, 0.01, "f4"), name="AVDRKCUR")] if options.get("plane") else hdus


def _reset(rng, shape, meta, options):
    header, area = _around(shape, meta)
    header.header["NINTS"], header.header["NGROUPS"] = options["nints"], options["ngroups"]
    data = rng.normal(0, 20, (options["nints"], options["ngroups"], *area)).astype("f4")
    data[rng.random(data.shape) < 0.02] = np.nan
    return [
        header,
        fits.ImageHDU(data, name="SCI"),
        fits.ImageHDU(_sprinkle(rng, area, 4).astype("i4"), name="DQ"),
        definitions("DO_NOT_USE", "HOT"),
    ]


def _rscd(rng, shape, meta, options):
    columns = [fits.Column("subarray", "17A", array=["FULL", "SLITLESSPRISM"]), fits.Column("readpatt", "12A", array=["FASTR1", "FASTR1"]),
               fits.Column("group_skip1", "J", array=[9, options.get("first", 2)]), fits.Column("group_skip", "J", array=[9, 4])]  # fmt: skip
    return [fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns, name="RSCD_GROUP_SKIP")]


def _ipc(rng, shape, meta, options):
    size = options["shape"]
    kernel = -rng.uniform(0, 0.01, size)
    kernel[size[0] // 2, size[1] // 2] = 0
    kernel[size[0] // 2, size[1] // 2] = 1 - kernel.sum(axis=(0, 1))
    return [fits.PrimaryHDU(), fits.ImageHDU(kernel.astype("f4"), name="SCI")]


def kept(name, values):
    """The part of a result that is a golden value: all flags, some values."""
    if values.dtype.kind != "f" or values.ndim < 3:
        return values
    return values[..., ::53, :] if values.shape[-2] == IRS2[0] else values[..., ::3, ::2]

"""File names of products."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwst_dask.io import names

LEVEL3 = "jw01366-o002_t001_nirspec_clear-prism-s1600a1-sub512"
BASE = "jw01366002001_04101_00001-seg002_nrs1"


@pytest.mark.parametrize(
    ("name", "suffix", "asn_id", "expected"),
    [
        (f"/x/{BASE}_rateints.fits", "calints", None, f"{BASE}_calints.fits"),
        (f"{BASE}_rateints.fits.gz", "x1dints", None, f"{BASE}_x1dints.fits"),
        (f"{BASE}_calints.fits", "crfints", "o001", f"{BASE}_o001_crfints.fits"),
        (f"{BASE}_o001_crfints.fits", "crfints", "o001", f"{BASE}_o001_crfints.fits"),
        (BASE, "calints", None, f"{BASE}_calints.fits"),
        (LEVEL3, "x1dints", None, f"{LEVEL3}_x1dints.fits"),
        ("my.star_v1.2", "cal", None, "my.star_v1.2_cal.fits"),
        (f"{BASE}_flatfieldstep.fits", "photom", None, f"{BASE}_photom.fits"),
    ],
)
def test_product_name(name: str, suffix: str, asn_id: str | None, expected: str) -> None:
    assert names.product_name(name, suffix, asn_id) == expected


def test_catalogue_name() -> None:
    assert names.product_name("a_b", "whtlt", extension=".ecsv") == names.product_name("a_b", "whtlt", extension="ecsv") == "a_b_whtlt.ecsv"


@given(base=st.from_regex(r"jw[0-9]{5}[a-z0-9_-]{1,20}", fullmatch=True), suffix=st.sampled_from(sorted(names.PRODUCTS)))
def test_suffix_is_found_again(base: str, suffix: str) -> None:
    made = names.product_name(base, suffix)
    assert names.split_suffix(made)[1] == suffix
    assert names.product_name(made, suffix) == made


def test_parts_of_a_name() -> None:
    parts = names.parse(f"{BASE}_rateints.fits")
    assert parts is not None
    assert (parts.program, parts.observation, parts.visit) == ("01366", "002", "001")
    assert (parts.exposure, parts.segment, parts.detector) == ("00001", 2, "nrs1")
    assert names.parse("something.fits") is None
    assert names.level3_name("1366", "o002", "t001", "NIRSPEC", "clear-prism") == "jw01366-o002_t001_nirspec_clear-prism"

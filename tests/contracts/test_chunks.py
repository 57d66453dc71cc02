"""Blocks cover every integration once, respect memory and halo, and are nearly equal."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from jwst_dask.core.chunks import COPIES, RESERVE, budget, split

SIZES = st.integers(1, 2000)


@settings(deadline=None)
@given(nints=SIZES, each=st.integers(1, 10**7), limit=st.integers(1, 10**9), halo=st.integers(0, 60), wanted=st.none() | st.integers(1, 3000))
def test_blocks_cover_the_series(nints: int, each: int, limit: int, halo: int, wanted: int | None) -> None:
    plan = split(nints, each, limit, halo, wanted)
    assert plan.bounds[0][0] == 0 and plan.bounds[-1][1] == nints
    assert all(a[1] == b[0] for a, b in zip(plan.bounds, plan.bounds[1:]))
    lengths = [b - a for a, b in plan.bounds]
    assert min(lengths) >= 1 and max(lengths) - min(lengths) <= 1
    if wanted is not None and halo < nints:
        assert max(lengths) <= wanted
    assert plan.block_bytes == each * max(min(nints, b + plan.halo) - max(0, a - plan.halo) for a, b in plan.bounds) or plan.halo


@settings(deadline=None)
@given(nints=SIZES, each=st.integers(1, 10**6), halo=st.integers(0, 30))
def test_blocks_fit_where_they_can(nints: int, each: int, halo: int) -> None:
    limit = 48_000_000
    plan = split(nints, each, limit, halo)
    least = min(nints, 3 * halo or 1)  # shorter blocks would mostly read their halos
    assert plan.block_bytes <= max(limit, each * least)


def test_an_exposure_shorter_than_its_halo_is_one_block() -> None:
    assert split(10, 100, 1, halo=10).bounds == ((0, 10),)
    assert split(0, 100, 1).bounds == ()


@settings(deadline=None)
@given(limit=st.integers(400_000_000, 10**11), threads=st.integers(1, 64))
def test_budget_of_a_worker(limit: int, threads: int) -> None:
    assert budget(limit, threads) <= max(1_000_000, (limit - RESERVE) // (COPIES * threads))
    assert budget(None, threads) == budget(10**14, 1)

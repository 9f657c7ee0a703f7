"""Sagas in a storm: each named kill, a zombie and lost servers, with real processes; the short form.

`manage.py bench faults` is the long one, with the product's own leases.
"""

import sys

import pytest

from benchmarks.faults import judge
from benchmarks.faults.apart import run_apart
from benchmarks.faults.points import POINTS, find_place

pytestmark = pytest.mark.fault
SAGAS, KILLS = 120, len(POINTS)


def test_nothing_is_lost_and_nothing_happens_twice() -> None:
    faults = {"kills": KILLS, "zombies": 1, "outages": 6, "commits": 2, "seed": 7}
    place = {"workers": 2, "ready": 1, "lease_s": 3}
    found = run_apart("benchmarks.faults", sys.stdout, sagas=SAGAS, **faults, **place)
    assert judge(found, kills=KILLS) == []
    assert found["killed"] == dict.fromkeys(sorted(point.name for point in POINTS), 1)
    assert found["zombies"] == 1
    assert found["takeover"]["n"] > 0
    assert found["effects"] > 4 * SAGAS, "too little happened to prove anything"


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_every_point_is_still_there(point) -> None:
    assert all(callable(getattr(*find_place(place))) for place in (point.place, point.within or point.place))


def test_what_was_lost_or_done_twice_is_told() -> None:
    good = dict.fromkeys(
        ("lost", "effects_missing", "effects_twice", "effects_that_should_not_be", "sagas_out_of_order",
         "histories_that_differ", "dead_letters", "billed_twice", "leads_twice",
         "events_against_their_schema"), 0,
    )  # fmt: skip
    found = good | {
        "sagas": 8, "by_status": {"completed": 6, "compensated": 2}, "runs_billed": 8, "kills": 3,
    }  # fmt: skip
    assert judge(found, kills=3) == []
    for name in good:
        assert judge(found | {name: 1}, kills=3) == [f"{name}: 1"]
    assert judge(found | {"by_status": {"failed": 8}}, kills=3)
    assert judge(found, kills=4) == ["kills: 3 of 4"]

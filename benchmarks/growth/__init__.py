"""Runs a second, and what claims, sweeps and lists cost, as the table of runs grows from 0 to a million.

SIZES=0,10000 makes it shorter, RUNS=100 executes fewer at each size.
"""

import json
import os
from typing import Any, TextIO

from benchmarks.fairness import WORKFLOW, publish
from benchmarks.fairness.service import SlowService
from benchmarks.installation import Installation, install

SLUG = "grows"
FLAT, QUERY_MS = 0.8, 10.0


def run(stdout: TextIO) -> dict[str, Any]:
    """Measure an installation of its own, with the worker that `manage.py up` starts."""
    sizes = [int(size) for size in os.environ.get("SIZES", "0,10000,100000,1000000").split(",")]
    runs, results = int(os.environ.get("RUNS", "400")), {}
    with SlowService(takes_s=0) as service, install(OUTBOUND_ALLOW=service.address) as place:
        publish(place, place.create_tenant(SLUG, "enterprise"), WORKFLOW.format(url=service.url))
        ask(place, f"execute({SLUG!r}, {runs // 4})")  # caches, pools, plans
        there = 0
        for size in sizes:
            ask(place, f"fill({SLUG!r}, {size - there})")
            there = size
            results[f"rows_{size}"] = ask(place, f"measure({SLUG!r}, {runs})")
            stdout.write(json.dumps({size: results[f"rows_{size}"]}) + "\n")
            stdout.flush()
        results["crowd"] = ask(place, "crowd(1000, 100_000)")
    return results | {"load": round(os.getloadavg()[0], 1), "failures": _failures(results, sizes)}


def ask(place: Installation, call: str) -> Any:
    """Call a function of `measuring` inside the installation and return the facts that it prints."""
    code = f"from benchmarks.growth import measuring; measuring.show(measuring.{call})"
    return json.loads(place.manage("shell", "-c", code).rpartition("facts=")[2].splitlines()[0])


def _failures(results: dict[str, Any], sizes: list[int]) -> list[str]:
    first, last = (results[f"rows_{sizes[place]}"] for place in (0, -1))
    ratio, missed = last["runs_per_s"] / first["runs_per_s"], []
    if ratio < FLAT:
        missed.append(f"runs a second fell to {ratio:.2f} of those with an empty table, at least {FLAT}")
    slow = {name: ms for name, ms in last["queries_ms"].items() if ms > QUERY_MS}
    if slow:
        missed.append(f"slow with {sizes[-1]} rows: {slow}, at most {QUERY_MS} ms")
    return missed

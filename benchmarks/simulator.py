"""Random workflows in worlds of chance, decided by the engine: what must hold, after every transition.

Each case is a workflow of branches, loops, waits, transitions and undoings, drawn from a seed, with failures,
crashes, cancellations and timeouts of the same seed. A seed that breaks a promise is printed, and can be run
alone: `--cases 1 --seed N`.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, TextIO

CASES = 10_000
MOST_TOLD = 5


def run(stdout: TextIO, *, cases: int = CASES, seed: int = 0) -> dict[str, Any]:
    """Live through so many worlds from a seed on; failures are those in which something did not hold."""
    from tests.orchestration.promises import Violated
    from tests.orchestration.random_workflows import draw_workflow
    from tests.orchestration.worlds import live_through

    ends: Counter[str] = Counter()
    broken: list[str] = []
    transitions, begin = 0, time.monotonic()
    for number in range(seed, seed + cases):
        try:
            world = live_through(draw_workflow(number), number)
        except Violated as error:
            broken.append(str(error))
            stdout.write(f"{error}\n" if len(broken) <= MOST_TOLD else "")
            continue
        ends[world.state.status.value] += 1
        transitions += world.transitions
    return {
        "seed": seed,
        "cases": cases,
        "transitions": transitions,
        "violations": len(broken),
        "seconds": round(time.monotonic() - begin, 1),
        "ends": dict(sorted(ends.items())),
        "failures": [line.partition("\n")[0] for line in broken[:MOST_TOLD]],
    }

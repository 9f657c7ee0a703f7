"""Whatever a run waits for: taken as soon as it is there, else the run sleeps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from apps.orchestration.engine import decisions as d
from apps.orchestration.engine.children import end_child_if_over
from apps.orchestration.engine.journal import Journal
from apps.orchestration.engine.waits import end_if_over


def end_wait(journal: Journal, waits: Sequence[d.Await], at_most: Callable[[float], float] | None) -> bool:
    """Take the first of what is awaited if it is there, in the transaction that says so; else sleep.

    Returns whether the run sleeps, until the first wait is over by itself, as `at_most` shortens it; with
    None it has other things to do. Raises LeaseLost, CancelArrived. The run's row is locked, as it is by
    whoever sends a signal: what arrives is seen here, or finds the run asleep and wakes it.
    """
    with journal.commit(begins_something=True) as fields:
        left = [_end_one(journal, command) for command in waits]
        if None in left:
            return False
        if at_most is not None:
            soonest_s = at_most(min(seconds for seconds in left if seconds is not None))
            rests = soonest_s == math.inf
            fields |= {"due_in_s": 0.0 if rests else soonest_s, "rests": rests, "lease_owner": ""}
    return at_most is not None


def _end_one(journal: Journal, command: d.Await) -> float | None:
    end = end_child_if_over if command.awaited["kind"] == "run" else end_if_over
    return end(journal, command)

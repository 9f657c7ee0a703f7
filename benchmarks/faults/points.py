"""The points at which a process of the product can be killed or frozen: before or after a function's call."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

ENGINE = "apps.orchestration.engine"
RUN, UNDO = f"{ENGINE}.execution.Execution.run", f"{ENGINE}.execution.Execution._undo"
SEND = "apps.orchestration.tools.http._send"
COMMIT = "apps.tenants.db.base.DatabaseWrapper._commit"


@dataclass(frozen=True)
class Point:
    """`within` names the calls, on the same thread, inside of which it counts; `outside` those where not."""

    name: str
    process: str
    place: str
    is_before: bool
    within: str = ""
    outside: str = ""


POINTS = (
    Point("claimed", "worker", RUN, True),
    Point("intent committed", "worker", SEND, True, within=RUN, outside=UNDO),
    Point("effect happened", "worker", SEND, False, within=RUN, outside=UNDO),
    Point("before commit", "worker", COMMIT, True, within=RUN),
    Point("after commit", "worker", COMMIT, False, within=RUN),
    Point("before the end", "worker", f"{ENGINE}.execution.finish", True),
    Point("compensation begun", "worker", UNDO, True),
    Point("undo intended", "worker", SEND, True, within=UNDO),
    Point("undo happened", "worker", SEND, False, within=UNDO),
    Point("undo noted", "worker", UNDO, False),
    Point("events taken", "background", "apps.events.outbox.take_batch", False),
    Point("events published", "background", "apps.events.outbox.mark_published", True),
    Point("inbox entered", "background", "workers.consumers.enter_inbox", False),
    Point("events handled", "background", "workers.consumers.handle_envelopes", False),
)
BY_NAME = {point.name: point for point in POINTS}


def find_place(place: str) -> tuple[Any, str]:
    """Return the module or class that holds a function, and the function's name; raises LookupError."""
    owner, _, name = place.rpartition(".")
    try:
        holder = import_module(owner)
    except ModuleNotFoundError:
        module, _, holder_name = owner.rpartition(".")
        holder = getattr(import_module(module), holder_name)
    if not hasattr(holder, name):
        raise LookupError(f"there is no {place} any more: say in benchmarks/faults/points.py where it went")
    return holder, name

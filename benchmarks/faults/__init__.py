"""10,000 five-step sagas in a storm of kills, zombies and lost servers: nothing lost, nothing twice.

Real processes, PostgreSQL with fsync, Valkey, NATS, and a service that writes every effect down.
"""

from typing import Any, TextIO

from benchmarks.faults.apart import run_apart
from benchmarks.faults.sink import EffectSink

NONE = (
    "lost", "effects_missing", "effects_twice", "effects_that_should_not_be", "sagas_out_of_order",
    "histories_that_differ", "dead_letters", "billed_twice", "leads_twice", "events_against_their_schema",
)  # fmt: skip


def run(stdout: TextIO, *, sagas: int = 10_000, kills: int = 500, seed: int = 1) -> dict[str, Any]:
    """Blow a storm over the sagas and return what was found."""
    share = max(1, kills // 10)
    rest = {"zombies": share, "outages": max(6, kills // 20), "commits": share}
    found = run_apart("benchmarks.faults", stdout, sagas=sagas, kills=kills, seed=seed, **rest)
    return found | {"failures": judge(found, kills=kills)}


def judge(found: dict[str, Any], *, kills: int) -> list[str]:
    """Return what was lost or done twice, and whether too little happened for that to mean anything."""
    failures = [f"{name}: {found[name]}" for name in NONE if found[name]]
    failed = sum(EffectSink.is_to_fail(number) for number in range(found["sagas"]))
    wanted = {"completed": found["sagas"] - failed, "compensated": failed}
    if found["by_status"] != {name: count for name, count in wanted.items() if count}:
        failures.append(f"ends: {found['by_status']}, not {wanted}")
    if found["runs_billed"] != found["sagas"]:
        failures.append(f"runs_billed: {found['runs_billed']}")
    if found["kills"] < kills:
        failures.append(f"kills: {found['kills']} of {kills}")
    return failures

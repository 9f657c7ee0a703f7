"""Lag of the outbox under load, its drain after an outage of NATS, and a deleted stream that is refilled.

Two relays and the consumers, as processes; PostgreSQL with fsync, NATS that syncs every message.
"""

from typing import Any, TextIO

from benchmarks.faults.apart import run_apart

LAG_P99_S, DRAIN_RATIO = 0.25, 5.0


def run(
    stdout: TextIO, *, rate: float = 200.0, load_s: float = 60.0, outage_s: float = 300.0
) -> dict[str, Any]:
    """Publish at a rate in events a second, all along."""
    found = run_apart("benchmarks.outbox", stdout, rate=rate, load_s=load_s, outage_s=outage_s)
    return found | {"failures": judge(found)}


def judge(found: dict[str, Any]) -> list[str]:
    """Return what was lost or done twice, and what took too long."""
    failures = [f"{name}: {found[name]}" for name in ("lost", "twice", "not_in_the_stream") if found[name]]
    if found["lag"]["p99_s"] > LAG_P99_S:
        failures.append(f"lag: {found['lag']}")
    if found["drained_by_arrival"] < DRAIN_RATIO:
        failures.append(f"drained at {found['drained_by_arrival']} times the arrival rate")
    return failures

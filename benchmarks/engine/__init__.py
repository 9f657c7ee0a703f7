"""Durable steps a second, WAL and transactions a step, and a run's way to its first step, beside DBOS.

Both keep their state in the same PostgreSQL (fsync on) and take turns. SECONDS=4 makes the turns shorter.
"""

import json
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any, TextIO

from aiaas.embedded.servers import Servers, start_servers
from benchmarks.engine import peer, queues
from benchmarks.engine.counters import Counters
from benchmarks.engine.ours import Engine

ROUNDS = 3
STEPS = 5
# What the issue asks: as many steps a second as DBOS, and a tenth of its queue's delay at its default.
STEPS_RATIO, DELAY_RATIO, IDLE_QUERIES = 1.0, 0.1, 2.0


def run(stdout: TextIO) -> dict[str, Any]:
    """Measure both in turns on servers of their own, and name the aims that are missed."""
    seconds = float(os.environ.get("SECONDS", "8"))
    with tempfile.TemporaryDirectory(prefix="aiaas-engine-") as folder:
        os.chmod(folder, 0o711)
        servers = start_servers(Path(folder))
        try:
            return _measure(servers, Path(folder), seconds, stdout)
        finally:
            servers.stop()


def _measure(servers: Servers, folder: Path, seconds: float, stdout: TextIO) -> dict[str, Any]:
    with Engine(servers, folder) as engine:
        contestants: dict[str, Any] = {"ours": engine}
        try:
            contestants["dbos"] = peer.Dbos(servers, folder)
        except peer.PeerMissing as error:
            stdout.write(f"  without DBOS: {error}\n")
        results: dict[str, Any] = {
            f"inline_{threads}": _inline(contestants, Counters(servers), threads, seconds, stdout)
            for threads in (1, 8)
        }
        results["kinds"] = _kinds(engine, Counters(servers), seconds, stdout)
        results["first_step"] = queues.measure(servers, contestants, seconds, stdout)
    return results | {"load": round(os.getloadavg()[0], 1), "failures": _failures(results)}


def _inline(
    contestants: dict[str, Any], counters: Counters, threads: int, seconds: float, stdout: TextIO
) -> dict[str, Any]:
    """Execute workflows of five steps, each recorded before the next one begins, in turns."""
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, contestant in contestants.items():
            rounds[name].append(_round(contestant, counters, threads, seconds))
            _say(stdout, {f"{name}, {threads} threads": rounds[name][-1]})
    medians = {name: _medians(rows) for name, rows in rounds.items()}
    if "dbos" in medians:
        for share in ("steps_per_s", "wal_bytes_per_step", "transactions_per_step"):
            medians.setdefault("ratio", {})[share] = round(medians["ours"][share] / medians["dbos"][share], 2)
    return medians


def _kinds(engine: Engine, counters: Counters, seconds: float, stdout: TextIO) -> dict[str, Any]:
    """Tell what each kind of step costs: one that only reads, and one whose effect is intended first."""
    found = {
        kind: _round(engine, counters, 8, seconds, kind=kind)
        for kind in ("none", "transactional", "idempotent")
    }
    _say(stdout, {"kinds of steps": found})
    return found


def _round(
    contestant: Any, counters: Counters, threads: int, seconds: float, **more: Any
) -> dict[str, float]:
    with counters.counting(contestant.database) as counted:
        done = contestant.inline(threads=threads, seconds=seconds, **more)
    steps = done["workflows"] * STEPS
    return {
        "steps_per_s": round(steps / done["seconds"], 1),
        "p50_ms": done["p50_ms"],
        "p99_ms": done["p99_ms"],
        "wal_bytes_per_step": round(counted["wal_bytes"] / steps),
        "transactions_per_step": round(counted["transactions"] / steps, 2),
    }


def _medians(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def _failures(results: dict[str, Any]) -> list[str]:
    missed = []
    for name in ("inline_1", "inline_8"):
        ratio = results[name].get("ratio", {}).get("steps_per_s")
        if ratio is not None and ratio < STEPS_RATIO:
            missed.append(f"{name}: {ratio} of DBOS's steps a second, at least {STEPS_RATIO}")
    for share, ratio in results["first_step"].get("ratio", {}).items():
        if ratio > DELAY_RATIO:
            missed.append(f"enqueue to first step {share}: {ratio} of DBOS's, at most {DELAY_RATIO}")
    idle = results["first_step"]["ours"]["idle_transactions_per_s"]
    if idle > IDLE_QUERIES:
        missed.append(f"an idle worker makes {idle} transactions a second, at most {IDLE_QUERIES}")
    return missed


def _say(stdout: TextIO, facts: dict[str, Any]) -> None:
    stdout.write(f"  {json.dumps(facts)}\n")
    stdout.flush()

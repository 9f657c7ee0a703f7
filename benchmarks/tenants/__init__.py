"""A thousand tenants beside one: latency at equal traffic, provisioning, migration, catalog, memory.

TENANTS=100 makes fewer. Blocks of requests for 1, 100 and all tenants take turns, so that whatever else the
machine does falls on all three.
"""

import json
import os
import statistics
from typing import Any, TextIO

from benchmarks.installation import Installation, install
from benchmarks.tenants.memory import measure_memory
from benchmarks.tenants.traffic import Traffic

JOBS = 2
PROVISION_P50_MS, MIGRATION_S, RATIO = 500, 90, 1.15
WEB_GROWTH_MB, BACKEND_MB = 64, 256


def run(stdout: TextIO) -> dict[str, Any]:
    """Measure an installation of its own, print what it finds on the way, and name the aims it misses."""
    total = int(os.environ.get("TENANTS", "1000"))
    sizes = sorted({1, min(100, total), total})
    with install() as place:
        made = ask(place, f"make_tenants({total})")
        results: dict[str, Any] = {"tenants": total, **_provisioning(made)}
        _say(stdout, results)
        results["traffic"], results["memory"] = _serve(place, made["keys"], sizes, stdout)
        results["migration"] = ask(place, f"add_column({JOBS})")
        results["drift"] = ask(place, f"look_for_drift({JOBS})")
    _say(stdout, {"migration": results["migration"], "drift": results["drift"]})
    return results | {"load": round(os.getloadavg()[0], 1), "failures": _failures(results)}


def ask(place: Installation, call: str) -> Any:
    """Call a function of `preparing` inside the installation and return the facts that it prints."""
    printed = place.manage("shell", "-c", f"from benchmarks.tenants import preparing; preparing.{call}")
    return json.loads(printed.rpartition("facts=")[2].splitlines()[0])


def _provisioning(made: dict[str, Any]) -> dict[str, Any]:
    times, total = sorted(made["times_ms"]), len(made["times_ms"])
    grown = {name: made["after"][name] - made["before"][name] for name in made["before"]}
    return {
        "provisioning": {
            "p50_ms": round(statistics.median(times), 1),
            "p95_ms": round(times[int(0.95 * (total - 1))], 1),
        },
        "catalog": {
            "relations": made["after"]["relations"],
            "relations_per_tenant": round(grown["relations"] / total),
            "catalog_mb": round(made["after"]["catalog_bytes"] / 1e6, 1),
            "catalog_kb_per_tenant": round(grown["catalog_bytes"] / total / 1e3),
            "database_mb": round(made["after"]["database_bytes"] / 1e6, 1),
            "database_kb_per_tenant": round(grown["database_bytes"] / total / 1e3),
        },
    }


def _serve(
    place: Installation, keys: list[str], sizes: list[int], stdout: TextIO
) -> tuple[dict[str, Any], dict[str, Any]]:
    memory = {}
    with Traffic(place, keys, sizes) as traffic:
        for size in sizes:
            traffic.visit(size)
            memory[f"after_{size}"] = measure_memory(place, ask(place, "list_backends()"))
            _say(stdout, {f"memory after {size}": memory[f"after_{size}"]})
        results = traffic.measure(stdout)
    memory["at_the_end"] = measure_memory(place, ask(place, "list_backends()"))
    _say(stdout, {"memory at the end": memory["at_the_end"]})
    return results, memory


def _failures(results: dict[str, Any]) -> list[str]:
    missed = []
    if results["provisioning"]["p50_ms"] > PROVISION_P50_MS:
        missed.append(f"provisioning p50 {results['provisioning']['p50_ms']} ms, at most {PROVISION_P50_MS}")
    for kind, figures in results["traffic"].items():
        if figures["ratio_p50"] > RATIO:
            missed.append(
                f"{kind}: p50 with all is {figures['ratio_p50']} times that with one, at most {RATIO}"
            )
    migration = results["migration"]
    if migration["took_s"] > MIGRATION_S or migration["broken"] or migration["applied"] < results["tenants"]:
        missed.append(f"migration: {migration}, at most {MIGRATION_S} s")
    if results["drift"]["columns"] != results["drift"]["tenants"]:
        missed.append(f"drift: {results['drift']}, one column of each tenant was to be found")
    stages = list(results["memory"].values())
    growth = stages[-1]["web_mb"] - stages[0]["web_mb"]
    if growth > WEB_GROWTH_MB:
        missed.append(f"memory: the web process grew by {growth:.0f} MB, at most {WEB_GROWTH_MB}")
    if stages[-1]["largest_backend_mb"] > BACKEND_MB:
        missed.append(f"memory: a backend has {stages[-1]['largest_backend_mb']} MB, at most {BACKEND_MB}")
    return missed


def _say(stdout: TextIO, facts: dict[str, Any]) -> None:
    stdout.write(json.dumps(facts) + "\n")
    stdout.flush()

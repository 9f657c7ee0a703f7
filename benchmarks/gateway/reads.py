"""One row by its id as JSON: ours with key, limits and tenant, beside a bare Django and a FastAPI view."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import httpx

from aiaas.embedded.process import free_port
from benchmarks.gateway import peers
from benchmarks.gateway.load import LASTS_S, WARM_UP_S, Target, measure
from benchmarks.installation import Installation

CONCURRENCY = 16
GOAL_PER_S = 10_000
TABLE = "bench_customer"
PREPARE = f"""
from django.db import connections
with connections["owner"].cursor() as cursor:
    cursor.execute("DROP TABLE IF EXISTS public.{TABLE}")
    cursor.execute("CREATE TABLE public.{TABLE} AS SELECT %%s::uuid AS id, 'Ada' AS name, "
                   "'ada@example.com' AS email, now() AS created_at", ["%(id)s"])
    cursor.execute("ALTER TABLE public.{TABLE} ADD PRIMARY KEY (id)")
at = connections["owner"].settings_dict
names = [at["USER"], at["PASSWORD"], at["HOST"] or "127.0.0.1", at["PORT"], at["NAME"]]
print("database=postgresql://{{}}:{{}}@{{}}:{{}}/{{}}".format(*names))
"""


def measure_reads(place: Installation, token: str, folder: Path, stdout: TextIO) -> dict[str, Any]:
    """Measure in turn; a core's share counts the processor time of the view, its database and Valkey."""
    headers = {"Authorization": f"Api-Key {token}"}
    with httpx.Client(base_url=f"{place.url}/api/v1", headers=headers, timeout=30) as client:
        made = client.post("/customers", json={"name": "Ada", "email": "ada@example.com"})
        made.raise_for_status()
    customer_id = made.json()["id"]
    printed = place.manage("shell", "-c", PREPARE % {"id": customer_id})
    variables = {"BENCH_DATABASE": printed.partition("database=")[2].split()[0], "BENCH_TABLE": TABLE}
    results = {"ours": _figures(place, f"{place.url}/api/v1/customers/{customer_id}", headers)}
    with peers.granian(
        "wsgi", "bare_django:application", folder, "--blocking-threads", "8", **variables
    ) as url:
        results["bare_django"] = _figures(place, f"{url}/{customer_id}")
    try:
        with _fastapi(folder, variables) as url:
            results["fastapi_asyncpg"] = _figures(place, f"{url}/{customer_id}")
    except peers.PeerMissing as error:
        stdout.write(f"  without FastAPI: {error}\n")
    for name, row in results.items():
        stdout.write(f"  reads, {name}: {row}\n")
    return results


def _figures(place: Installation, url: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    target = Target(url, headers or {})
    begin_s = _processor_s(place.pid)
    row = measure(target, concurrency=CONCURRENCY)
    spent_s = _processor_s(place.pid) - begin_s  # of warming up too, in which as much is asked a second
    per_core = row["requests_per_s"] * (WARM_UP_S + LASTS_S) / spent_s
    return {**row, "per_core": round(per_core), "cores_for_10000": math.ceil(GOAL_PER_S / per_core)}


@contextmanager
def _fastapi(folder: Path, variables: dict[str, str]) -> Iterator[str]:
    python, port = peers.peer_python(), free_port()
    command = [str(python), "-m", "uvicorn", "--app-dir", str(Path(__file__).parent), "bare_fastapi:app"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--no-access-log", "--log-level", "warning"]
    with peers.process(command, folder / "fastapi.log", **variables):
        peers.await_answer(f"http://127.0.0.1:{port}/", folder / "fastapi.log")
        yield f"http://127.0.0.1:{port}"


def _processor_s(*roots: int) -> float:
    """Add up what the installation's processes and ours, which are the views beside it, have used."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    rows = {pid: int((_stat(pid) or ["", "0"])[1]) for pid in pids}
    family = {os.getpid(), *roots}
    grown = True
    while grown:
        children = {pid for pid, parent in rows.items() if parent in family} - family
        family |= children
        grown = bool(children)
    return sum(_process_s(pid) for pid in family - {os.getpid()})


def _process_s(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []

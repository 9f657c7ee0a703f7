"""One tenant's runs alone, and while another has 10,000 waiting: from enqueue to done.

QUEUED=1000 queues fewer, ASKED=100 measures fewer. Each run calls a service on loopback once, which takes
100 ms, as a model's answer would.
"""

import datetime as dt
import json
import os
import statistics
import time
from typing import Any, TextIO

import httpx

from benchmarks.fairness.service import SlowService
from benchmarks.installation import Installation, install

AIM = 1.5
PAUSE_S = 0.2
WORKFLOW = """name: "call"
version: "1"
steps:
  - id: "ask"
    type: "tool"
    tool: "http_request"
    config: {{method: "POST", url: "{url}/ask"}}
"""


def run(stdout: TextIO) -> dict[str, Any]:
    """Measure an installation of its own, with the worker that `manage.py up` starts."""
    queued, asked = int(os.environ.get("QUEUED", "10000")), int(os.environ.get("ASKED", "300"))
    with SlowService() as service, install(OUTBOUND_ALLOW=service.address) as place:
        keys = {slug: place.create_tenant(slug, "enterprise") for slug in ("many", "few")}
        for key in keys.values():
            publish(place, key, WORKFLOW.format(url=service.url))
        few = Asker(place, keys["few"])
        few.measure(20)  # caches, pools, plans
        results: dict[str, Any] = {"queued": queued, "alone": few.measure(asked)}
        stdout.write(json.dumps(results) + "\n")
        ask(place, f"enqueue('many', {queued})")
        results["beside_them"] = few.measure(asked)
        results["waiting_at_the_end"] = ask(place, "count_open('many')")
    for name in ("p50", "p99"):
        alone, beside = (results[when][f"{name}_ms"] for when in ("alone", "beside_them"))
        results[f"ratio_{name}"] = round(beside / alone, 2)
    return results | {"load": round(os.getloadavg()[0], 1), "failures": _failures(results)}


class Asker:
    """Starts runs at fixed times, and reads from the runs themselves how long they took."""

    def __init__(self, place: Installation, key: str) -> None:
        self._client = httpx.Client(
            base_url=place.url, timeout=40, headers={"Authorization": f"Api-Key {key}"}
        )

    def measure(self, count: int) -> dict[str, Any]:
        """Return p50 and p99 of the time from a run's creation to its end."""
        begin, ids = time.monotonic(), []
        for number in range(count):
            time.sleep(max(0.0, begin + number * PAUSE_S - time.monotonic()))
            answer = self._client.post("/api/v1/runs", json={"workflow": "call"})
            answer.raise_for_status()
            ids.append(answer.json()["id"])
        times = sorted(self._took_ms(run_id) for run_id in ids)
        return {
            "n": count,
            "p50_ms": round(statistics.median(times), 1),
            "p99_ms": round(times[int(0.99 * (count - 1))], 1),
        }

    def _took_ms(self, run_id: str) -> float:
        while not (run := self._client.get(f"/api/v1/runs/{run_id}").json())["finished_at"]:
            time.sleep(0.2)
        if run["status"] != "completed":
            raise RuntimeError(f"a run is {run['status']}: {run['error']}")
        began, ended = (dt_of(run[name]) for name in ("created_at", "finished_at"))
        return (ended - began) * 1000


def dt_of(text: str) -> float:
    """Return a moment of the API as seconds."""
    return dt.datetime.fromisoformat(text).timestamp()


def publish(place: Installation, key: str, source: str) -> None:
    """Publish a workflow over the API."""
    with httpx.Client(base_url=place.url, timeout=40, headers={"Authorization": f"Api-Key {key}"}) as client:
        headers = {"Content-Type": "application/yaml"}
        client.post("/api/v1/workflows", content=source, headers=headers).raise_for_status()
        client.post("/api/v1/workflows/call/publish").raise_for_status()


def ask(place: Installation, call: str) -> int:
    """Call a function of `queueing` inside the installation and return the number that it gives."""
    code = f"from benchmarks.fairness import queueing; print('number=', queueing.{call})"
    return int(place.manage("shell", "-c", code).rpartition("number=")[2].replace("None", "0"))


def _failures(results: dict[str, Any]) -> list[str]:
    missed = []
    if results["ratio_p99"] > AIM:
        missed.append(f"p99 is {results['ratio_p99']} times that alone, at most {AIM}")
    if not results["waiting_at_the_end"]:
        missed.append("the other's runs had ended before the measurement did: queue more")
    return missed

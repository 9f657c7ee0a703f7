"""Valkey wiped every half minute while messages are answered: all finish, and what that adds to the delay.

The product as `manage.py up` runs it; the sweep finds what the lost hints would have told.
"""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TextIO

import httpx
import redis

from aiaas.embedded.secrets import data_secrets
from benchmarks.faults.apart import percentiles
from benchmarks.installation import Installation, install

WIPE_EVERY_S = 30.0
CALM_S = 30.0
EVERY_S = 0.5
PATIENCE_S = 60.0
ADDED_P99_S = 5.0


def run(stdout: TextIO, *, minutes: float = 5.0) -> dict[str, Any]:
    """Start runs all the time, first undisturbed, then with a wipe every 30 s."""
    with install(LOG_LEVEL="WARNING") as place:
        runs = Runs(place)
        calm = runs.keep_starting(CALM_S, every_s=WIPE_EVERY_S, wipe=None)
        stdout.write(f"undisturbed: {percentiles(calm)}\n")
        stormy = runs.keep_starting(minutes * 60, every_s=WIPE_EVERY_S, wipe=lambda: wipe(place))
        stdout.write(f"wiped: {percentiles(stormy)}\n")
    before, after = percentiles(calm), percentiles(stormy)
    added_s = round(after.get("p99_s", PATIENCE_S) - before.get("p99_s", 0.0), 3)
    failures = [f"{runs.lost} runs did not finish"] if runs.lost else []
    failures += [f"p99 grew by {added_s} s"] if added_s > ADDED_P99_S else []
    return {
        "undisturbed": before,
        "wiped": after,
        "wipes": runs.wipes,
        "unfinished": runs.lost,
        "added_p99_s": added_s,
        "failures": failures,
    }


def wipe(place: Installation) -> None:
    """Empty Valkey, with the broker's queues and all."""
    folder = Path(place.environment["AIAAS_DATA"])
    lines = (folder / "valkey" / "valkey.conf").read_text().splitlines()
    port = next(int(line.split()[1]) for line in lines if line.startswith("port "))
    with redis.Redis(port=port, password=data_secrets(folder)["valkey"], socket_timeout=5) as client:
        client.flushall()


class Runs:
    """Starts runs over the API, each of which a worker executes, and looks until each has ended."""

    def __init__(self, place: Installation) -> None:
        key = place.create_tenant("bench", "enterprise")
        headers = {"Authorization": f"Api-Key {key}"}
        self._client = httpx.Client(base_url=place.url, headers=headers, timeout=30)
        self.lost = self.wipes = 0

    def keep_starting(self, seconds: float, *, every_s: float, wipe: Any) -> list[float]:
        """Start a run twice a second, and return how long each took to its end."""
        begin = time.monotonic()
        wiped_at = begin
        with ThreadPoolExecutor(16) as threads:
            taken = []
            while time.monotonic() - begin < seconds:
                taken.append(threads.submit(self._time_one))
                time.sleep(EVERY_S)
                if wipe and time.monotonic() - wiped_at > every_s:
                    wiped_at = time.monotonic()
                    wipe()
                    self.wipes += 1
            times = [one.result() for one in taken]
        self.lost += times.count(None)
        return [one for one in times if one is not None]

    def _time_one(self) -> float | None:
        number = uuid.uuid4().hex
        order = {"number": number, "total_cents": 4900, "items": []}
        self._client.post("/api/v1/orders", json=order).raise_for_status()
        begin = time.monotonic()
        body = {"workflow": "order_cancellation", "input": {"order_number": number}}
        started = self._client.post("/api/v1/runs", json=body)
        started.raise_for_status()
        while time.monotonic() - begin < PATIENCE_S:
            told = self._client.get(f"/api/v1/runs/{started.json()['id']}").json()
            if told["status"] == "completed":
                return time.monotonic() - begin
            time.sleep(0.1)
        return None

"""Equal traffic for one tenant, a hundred and all of them, in blocks that take turns."""

import random
import statistics
import time
import uuid
from collections.abc import Callable
from typing import Any, TextIO

import httpx

from benchmarks.installation import Installation

READS, MESSAGES, ROUNDS = 3000, 300, 15
WARM = 20
READ = "/api/v1/customers"
TEXT = "How long do I have to return an item?"


class Traffic:
    """One client with one request at a time: latency, not capacity."""

    def __init__(self, place: Installation, keys: list[str], sizes: list[int]) -> None:
        self._client = httpx.Client(base_url=place.url, timeout=40)
        self._keys, self._sizes = keys, sizes
        self._conversations: dict[str, str] = {}
        self._random = random.Random(7)

    def __enter__(self) -> "Traffic":
        return self

    def __exit__(self, *error: object) -> None:
        self._client.close()

    def visit(self, size: int) -> None:
        """Read once for each of the first tenants, and open the conversations that messages go to."""
        for _ in range(WARM):
            self._read(self._keys[0])
        for key in self._keys[:size]:
            self._read(key)
        for key in self._targets(size, MESSAGES):
            if key not in self._conversations:
                self._conversations[key] = self._open(key)

    def measure(self, stdout: TextIO) -> dict[str, Any]:
        """Return p50 and p99 by number of tenants, of reads and of answered messages."""
        kinds: dict[str, tuple[Callable[[str], float], int]] = {
            "read": (self._read, READS),
            "message": (self._message, MESSAGES),
        }
        results = {}
        for kind, (act, total) in kinds.items():
            results[kind] = self._take_turns(act, total)
            stdout.write(f"{kind}: {results[kind]}\n")
        return results

    def _take_turns(self, act: Callable[[str], float], total: int) -> dict[str, Any]:
        times: dict[int, list[float]] = {size: [] for size in self._sizes}
        plans = {size: self._targets(size, total) for size in self._sizes}
        block = total // ROUNDS
        for turn in range(ROUNDS):
            for size in self._random.sample(self._sizes, len(self._sizes)):
                times[size] += [act(key) for key in plans[size][turn * block : (turn + 1) * block]]
        figures = {f"tenants_{size}": _figures(times[size]) for size in self._sizes}
        few, many = (figures[f"tenants_{size}"] for size in (self._sizes[0], self._sizes[-1]))
        ratios = {
            f"ratio_{name}": round(many[f"{name}_ms"] / few[f"{name}_ms"], 2) for name in ("p50", "p99")
        }
        return figures | ratios

    def _targets(self, size: int, total: int) -> list[str]:
        """Spread `total` requests evenly over the first tenants, in an order that is always the same."""
        chosen = [
            self._keys[number * size // total if size > total else number % size] for number in range(total)
        ]
        random.Random(size).shuffle(chosen)
        return chosen

    def _read(self, key: str) -> float:
        begin = time.perf_counter()
        answer = self._client.get(READ, headers=_credential(key))
        took_ms = (time.perf_counter() - begin) * 1000
        answer.raise_for_status()
        return took_ms

    def _open(self, key: str) -> str:
        body = {"channel": "api", "message": {"text": TEXT}}
        answer = self._client.post("/api/v1/conversations?wait=30", json=body, headers=_credential(key))
        answer.raise_for_status()
        return answer.json()["conversation"]["id"]

    def _message(self, key: str) -> float:
        body = {"text": TEXT, "client_message_id": str(uuid.uuid4())}
        path = f"/api/v1/conversations/{self._conversations[key]}/messages?wait=30"
        begin = time.perf_counter()
        answer = self._client.post(path, json=body, headers=_credential(key))
        took_ms = (time.perf_counter() - begin) * 1000
        answer.raise_for_status()
        if not answer.json()["reply"]:
            raise RuntimeError(f"no answer: {answer.text[:500]}")
        return took_ms


def _credential(key: str) -> dict[str, str]:
    return {"Authorization": f"Api-Key {key}"}


def _figures(times_ms: list[float]) -> dict[str, Any]:
    ordered = sorted(times_ms)
    return {
        "n": len(ordered),
        "p50_ms": round(statistics.median(ordered), 2),
        "p99_ms": round(ordered[int(0.99 * (len(ordered) - 1))], 2),
    }

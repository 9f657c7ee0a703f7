"""A message's whole journey: REST with ?wait, socket acknowledgement, and how many a second it carries."""

import asyncio
import json
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import httpx
import websockets

from benchmarks.installation import Installation, install

ARTICLES = {
    "Returns": "You may return any item within 30 days of delivery. Returns are free of charge for members.",
    "Shipping": "Standard delivery takes three to five working days. Express delivery arrives the next day.",
    "Warranty": "Every lamp has a warranty of two years. Bulbs are covered for six months.",
    "Payment": "We accept credit cards, bank transfer and invoices for companies with an account.",
    "Gift cards": "Gift cards are valid for three years and can be used for several orders.",
}
QUESTIONS = (
    "How long do I have to return an item?",
    "How long does standard delivery take?",
    "Is there a warranty on lamps?",
    "Which payment methods do you accept?",
    "How long are gift cards valid?",
)
WARM_UP, SAMPLES = 40, 300
SOCKETS, MESSAGES_EACH = 40, 8
STEP_S, FIRST_RATE, RATE_FACTOR, LIMIT_MS = 8.0, 10.0, 1.3, 500.0
SENDERS = 32


def run(stdout: TextIO) -> dict[str, Any]:
    """Measure an installation of its own: warm latency first, then open-loop load in rising steps."""
    with install() as place:
        token = _prepare(place)
        results: dict[str, Any] = {"rest_wait": _rest_latency(place, token)}
        stdout.write(f"rest: {results['rest_wait']}\n")
        results["socket_ack"] = asyncio.run(_socket_latency(place, _widget_key(place)))
        stdout.write(f"socket: {results['socket_ack']}\n")
        results["load"] = _find_capacity(place, token, stdout)
    return results


def _prepare(place: Installation) -> str:
    token = place.create_tenant("bench", "enterprise")
    with tempfile.TemporaryDirectory() as folder:
        for title, text in ARTICLES.items():
            (Path(folder) / f"{title}.md").write_text(f"# {title}\n\n{text}\n")
        place.manage("ingest", "--tenant", "bench", "--wait", folder)
    return token


def _widget_key(place: Installation) -> str:
    """Return the key of a widget that takes what one machine sends in a minute."""
    code = (
        "from apps.realtime.widget_settings.services import update_widget_settings;"
        "from apps.tenants.selectors import get_tenant, get_widget_key;"
        "tenant = get_tenant(slug='bench'); widget = get_widget_key(tenant=tenant);"
        "wide = {'address_messages_per_minute': 10_000, 'address_openings_per_minute': 10_000};"
        "update_widget_settings("
        "tenant=tenant, key=widget.key, version=widget.version, actor='bench', changes=wide);"
        "print('key=' + widget.key)"
    )
    return place.manage("shell", "-c", code).partition("key=")[2].split()[0]


def _client(place: Installation, token: str) -> httpx.Client:
    return httpx.Client(base_url=place.url, headers={"Authorization": f"Api-Key {token}"}, timeout=35)


def _open(client: httpx.Client) -> str:
    body = {"channel": "api", "message": {"text": QUESTIONS[0]}}
    answer = client.post("/api/v1/conversations?wait=30", json=body)
    answer.raise_for_status()
    return answer.json()["conversation"]["id"]


def _ask(client: httpx.Client, conversation: str, number: int) -> float:
    body = {"text": QUESTIONS[number % len(QUESTIONS)], "client_message_id": str(uuid.uuid4())}
    begin = time.perf_counter()
    answer = client.post(f"/api/v1/conversations/{conversation}/messages?wait=30", json=body)
    took_ms = (time.perf_counter() - begin) * 1000
    answer.raise_for_status()
    if not answer.json()["reply"]["sources"]:
        raise RuntimeError(f"no cited answer: {answer.text[:500]}")
    return took_ms


def _rest_latency(place: Installation, token: str) -> dict[str, Any]:
    with _client(place, token) as client:
        conversations = [_open(client) for _ in range(10)]
        for number in range(WARM_UP):
            _ask(client, conversations[number % 10], number)
        return _figures([_ask(client, conversations[number % 10], number) for number in range(SAMPLES)])


async def _socket_latency(place: Installation, key: str) -> dict[str, Any]:
    """One message at a time, on socket after socket: each may send a few before its pace limits it."""
    times: list[float] = []
    for number in range(SOCKETS):
        async with websockets.connect(f"{place.socket_url}?key={key}", proxy=None) as socket:
            await socket.send(json.dumps({"type": "hello"}))
            await _until(socket, lambda frame: frame["type"] == "welcome")
            times += [await _ack_ms(socket, QUESTIONS[number % len(QUESTIONS)]) for _ in range(MESSAGES_EACH)]
    return _figures(times[WARM_UP:])


async def _ack_ms(socket: Any, text: str) -> float:
    name = str(uuid.uuid4())
    begin = time.perf_counter()
    await socket.send(json.dumps({"type": "message", "client_message_id": name, "text": text}))
    await _until(socket, lambda frame: frame["type"] == "ack" and frame["client_message_id"] == name)
    took_ms = (time.perf_counter() - begin) * 1000
    await _until(socket, lambda frame: frame["type"] == "message" and frame["author"] == "ai")
    return took_ms


async def _until(socket: Any, is_it: Callable[[dict[str, Any]], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_it(json.loads(await socket.recv())):
            pass


def _find_capacity(place: Installation, token: str, stdout: TextIO) -> dict[str, Any]:
    steps, rate = [], FIRST_RATE
    while True:
        step = _load(place, token, rate)
        steps.append(step)
        stdout.write(f"load: {step}\n")
        if step["p95_ms"] > LIMIT_MS:
            break
        rate *= RATE_FACTOR
    good = [step["answered_per_s"] for step in steps if step["p95_ms"] <= LIMIT_MS]
    return {"messages_per_s_before_p95_500_ms": max(good, default=0.0), "steps": steps}


def _load(place: Installation, token: str, rate: float) -> dict[str, Any]:
    """Send at fixed times whatever the answers take; waiting counts (no coordinated omission)."""
    due, times = iter(range(int(rate * STEP_S))), list[float]()
    clients = [_client(place, token) for _ in range(SENDERS)]
    talks = [(client, _open(client)) for client in clients]
    begin = time.perf_counter() + 0.5
    threads = [
        threading.Thread(target=_send_when_due, args=(client, talk, begin, rate, due, times))
        for client, talk in talks
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s = time.perf_counter() - begin
    for client in clients:
        client.close()
    return {
        "offered_per_s": round(rate, 1),
        "answered_per_s": round(len(times) / took_s, 1),
        **_figures(times),
    }


def _send_when_due(
    client: httpx.Client, talk: str, begin: float, rate: float, due: Iterator[int], times: list[float]
) -> None:
    for number in due:
        at = begin + number / rate
        time.sleep(max(0.0, at - time.perf_counter()))
        _ask(client, talk, number)
        times.append((time.perf_counter() - at) * 1000)


def _figures(times_ms: list[float]) -> dict[str, Any]:
    ordered = sorted(times_ms)
    return {
        "n": len(ordered),
        "p50_ms": round(statistics.median(ordered), 1),
        "p95_ms": round(ordered[int(0.95 * (len(ordered) - 1))], 1),
        "p99_ms": round(ordered[int(0.99 * (len(ordered) - 1))], 1),
    }

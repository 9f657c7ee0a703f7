"""What the gateway adds to a model's answer, beside LiteLLM's proxy, and what a tenant's read costs."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import httpx

from benchmarks.gateway import peers
from benchmarks.gateway.load import Target, measure
from benchmarks.gateway.reads import measure_reads
from benchmarks.installation import Installation, install

CONCURRENCIES = (1, 8, 32)
WORKFLOW = """\
name: "pass_through"
version: "1.0"
description: "One question to the model, as it is"
triggers:
  - type: "websocket"
    event: "message_received"
steps:
  - id: "answer"
    type: "llm"
    model: "fake"
    config: {history: 0, knowledge: false}
"""
QUESTION = "Where is my order and when will it come?"


def run(stdout: TextIO) -> dict[str, Any]:
    """Measure the reads; then the upstream alone, LiteLLM and us, in turn, at each concurrency."""
    with tempfile.TemporaryDirectory(prefix="aiaas-gateway-") as name:
        folder = Path(name)
        with peers.granian("asgi", "upstream:application", folder) as upstream:
            return _measure_all(f"{upstream}/v1", folder, stdout)


def _measure_all(upstream: str, folder: Path, stdout: TextIO) -> dict[str, Any]:
    with install(OPENAI_API_KEY="bench", OPENAI_BASE_URL=upstream, EMBEDDING_MODEL="") as place:
        token = _prepare(place)
        reads = measure_reads(place, token, folder, stdout)  # first: completions leave events to be taken in
        with _litellm(upstream, folder, stdout) as litellm:
            doors = {"direct": (upstream, "none", "fake")}
            if litellm:
                doors["litellm"] = (litellm, peers.LITELLM_KEY, "fake")
            doors["ours"] = (f"{place.url}/v1", token, "pass_through")
            results: dict[str, Any] = {
                f"{'stream' if stream else 'whole'}_{concurrency}": _compare(
                    doors, concurrency, stream=stream, stdout=stdout
                )
                for stream in (False, True)
                for concurrency in CONCURRENCIES
            }
    return results | {"reads": reads}


@contextmanager
def _litellm(upstream: str, folder: Path, stdout: TextIO) -> Iterator[str]:
    try:
        with peers.litellm_proxy(upstream, folder) as url:
            yield url
    except peers.PeerMissing as error:
        stdout.write(f"  without LiteLLM: {error}\n")
        yield ""


def _prepare(place: Installation) -> str:
    token = place.create_tenant("bench", "enterprise")
    headers = {"Authorization": f"Api-Key {token}"}
    with httpx.Client(base_url=f"{place.url}/api/v1", headers=headers, timeout=30) as client:
        yaml = {"Content-Type": "application/yaml"}
        client.post("/workflows", content=WORKFLOW, headers=yaml).raise_for_status()
        client.post("/workflows/pass_through/publish").raise_for_status()
    return token


def _compare(
    doors: dict[str, tuple[str, str, str]], concurrency: int, *, stream: bool, stdout: TextIO
) -> dict[str, Any]:
    row = {
        name: measure(_target(*door, stream=stream), concurrency=concurrency) for name, door in doors.items()
    }
    for name in row.keys() - {"direct"}:
        for share in ("p50_ms", "p99_ms"):
            row[name][f"added_{share}"] = round(row[name][share] - row["direct"][share], 2)
    if "litellm" in row:
        ours, theirs = row["ours"], row["litellm"]
        row["ratio"] = {
            "added_p50": round(ours["added_p50_ms"] / theirs["added_p50_ms"], 2),
            "requests_per_s": round(ours["requests_per_s"] / theirs["requests_per_s"], 2),
        }
    stdout.write(f"  {'stream' if stream else 'whole'} at {concurrency}: {json.dumps(row)}\n")
    return row


def _target(base: str, key: str, model: str, *, stream: bool) -> Target:
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": QUESTION}]}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    end = b"data: [DONE]" if stream else b"}"
    return Target(f"{base}/chat/completions", headers, json.dumps(body).encode(), end)

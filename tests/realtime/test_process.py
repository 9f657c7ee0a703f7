"""The socket process as a whole."""

import subprocess
import sys

import pytest
from asgiref.testing import ApplicationCommunicator
from django.conf import settings

from apps.realtime import operations
from apps.realtime.consumer import refuse_unknown_path

HEAVY = ("onnxruntime", "sklearn", "scipy", "pandas", "openai", "rest_framework.views")


def test_the_socket_process_loads_nothing_heavy():
    code = (
        "import sys, aiaas.asgi, apps.conversations.services, aiaas.subscriptions as s\n"
        "from django.utils.module_loading import import_string\n"
        "[import_string(h) for hs in s.IN_TRANSACTION.values() for h in hs]\n"
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=settings.ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


async def get(path: str, peer: str = "127.0.0.1", **headers: str) -> tuple[int, bytes]:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "path": path, "method": "GET", "headers": raw, "client": (peer, 1)}
    wire = ApplicationCommunicator(operations.serve_operations, scope)
    await wire.send_input({"type": "http.request"})
    start, body = await wire.receive_output(), await wire.receive_output()
    return start["status"], body["body"]


async def test_health_and_metrics_are_there(live_db):
    assert (await get("/healthz"))[0] == 200
    assert (await get("/readyz"))[0] == 200
    status, body = await get("/metrics")
    assert status == 200
    assert b"websocket_connections_active" in body


async def test_metrics_are_not_for_strangers(settings):
    assert (await get("/metrics", "203.0.113.9"))[0] == 404
    assert (await get("/metrics", x_forwarded_for="203.0.113.9"))[0] == 404
    settings.METRICS_TOKEN = "prometheus"
    assert (await get("/metrics"))[0] == 404
    assert (await get("/metrics", "203.0.113.9", authorization="Bearer prometheus"))[0] == 200


async def test_not_ready_without_a_database(monkeypatch):
    def fail() -> None:
        raise ConnectionError

    monkeypatch.setattr(operations, "_touch_database", fail)
    assert (await get("/readyz"))[0] == 503


@pytest.mark.parametrize("path", ["/", "/api/v1/orders", "/widget.js"])
async def test_everything_else_is_elsewhere(path):
    status, body = await get(path)
    assert status == 404
    assert b"web process" in body


async def test_a_socket_on_another_path_is_refused():
    wire = ApplicationCommunicator(refuse_unknown_path, {"type": "websocket", "path": "/ws/other/"})
    await wire.send_input({"type": "websocket.connect"})
    assert (await wire.receive_output())["type"] == "websocket.close"

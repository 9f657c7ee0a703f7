import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from apps.crm.events import OrderCancelled
from apps.events.contracts import Consumer, Envelope
from apps.tenants.contracts import TenantRef
from workers.consumers import handle_envelope

CONSUMER = Consumer("webhooks_agent", "AGENT_EVENTS", (), "apps.webhooks.handlers.on_events", takes_many=True)


@dataclass
class Receiver:
    """A tenant's own system on loopback; `answer` gives status and headers by the request's number."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    answer: Callable[[int], tuple[int, dict[str, str]]] = lambda number: (204, {})

    @classmethod
    @contextmanager
    def open(cls) -> "Iterator[Receiver]":
        receiver = cls()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.requests.append({"path": self.path, "body": body, "headers": headers})
                status, headers = receiver.answer(len(receiver.requests))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if status != 204:
                    self.wfile.write(b"<b>what it says</b>")

            def log_message(self, *args: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        receiver.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            server.server_close()
            thread.join(5)


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    with Receiver.open() as opened:
        settings.OUTBOUND_ALLOW = [opened.url.removeprefix("http://")]
        yield opened


def order_cancelled(tenant: TenantRef) -> Envelope:
    """Make the fact that an order was cancelled, as the stream carries it."""
    event = OrderCancelled(
        tenant_id=tenant.id, order_id=uuid4(), number="1042", before="paid", after="cancelled",
        effect_key="internal", actor="user:ada",
    )  # fmt: skip
    return Envelope(
        id=uuid4(),
        type=event.type,
        version=1,
        tenant_id=tenant.id,
        occurred_at=timezone.now(),
        data=event.data(),
    )


def tell(tenant: TenantRef, envelope: Envelope | None = None) -> Envelope:
    """Let the consumer handle a fact."""
    envelope = envelope or order_cancelled(tenant)
    handle_envelope(CONSUMER, envelope)
    return envelope

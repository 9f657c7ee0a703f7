"""An HTTP service that writes down every request it gets, and answers as told."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Sink:
    """`answer(n)` gives the status of the n-th request of a path (from 1); `on_request` may block or kill."""

    address: str = ""
    requests: list[dict] = field(default_factory=list)
    answer: Callable[[str, int], int] = lambda path, number: 200
    on_request: Callable[[], None] = lambda: None

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def keys(self) -> list[str]:
        return [request["key"] for request in self.requests]

    def counts(self) -> Counter:
        return Counter(self.keys)

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[Sink]:
        sink = cls()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = {
                    "path": self.path,
                    "key": self.headers.get("Idempotency-Key"),
                    "body": json.loads(body or "null"),
                    "headers": dict(self.headers),
                }
                sink.requests.append(request)
                sink.on_request()
                number = sum(1 for other in sink.requests if other["path"] == self.path)
                status = sink.answer(self.path, number)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps({"n": number}).encode())

            do_GET = do_POST  # noqa: N815

            def log_message(self, *args: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        sink.address = f"127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield sink
        finally:
            server.shutdown()
            server.server_close()
            thread.join(5)

"""An HTTP service that takes effects: it writes down every call, and knows a key that it has seen."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Call:
    """`number` is the saga's, `action` what was asked for, `key` the effect's."""

    at: float
    number: int
    action: str
    key: str
    is_refused: bool


@dataclass
class EffectSink:
    """Takes POST /<action>/<number>; refuses what `refuses` names, and answers after `delay_s`."""

    address: str = ""
    delay_s: float = 0.0
    refused_action: str = "ship"
    calls: list[Call] = field(default_factory=list)

    @staticmethod
    def is_to_fail(number: int) -> bool:
        """Tell whether a saga has to fail, and to be undone."""
        return number % 4 == 3

    def take(self, path: str, key: str) -> int:
        """Write a call down and return the status of the answer."""
        action, number = path.strip("/").split("/")
        is_refused = action == self.refused_action and self.is_to_fail(int(number))
        self.calls.append(Call(time.monotonic(), int(number), action, key, is_refused))
        if self.delay_s:
            time.sleep(self.delay_s)
        return 422 if is_refused else 200


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


@contextmanager
def open_sink() -> Iterator[EffectSink]:
    """Listen on loopback for the block."""
    sink = EffectSink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = json.dumps({"taken": True}).encode()
            self.send_response(sink.take(self.path, self.headers["Idempotency-Key"]))
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None: ...

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except ConnectionError:  # whoever called was killed
                self.close_connection = True

    server = _Server(("127.0.0.1", 0), Handler)
    sink.address = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield sink
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)

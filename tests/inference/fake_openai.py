"""A server that speaks OpenAI's wire protocol on loopback, and can be told to misbehave."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FakeOpenAi(ThreadingHTTPServer):
    """Answer with `reply`; `status`, `delay_s`, `cut_after` and `raw` make it fail."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reply = "You can return shoes within 30 days [1]."
        self.status = 200
        self.delay_s = 0.0
        self.cut_after: int | None = None
        self.raw: bytes | None = None
        self.sends_usage = True
        self.requests: list[dict[str, Any]] = []
        self.headers_seen: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the game."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeOpenAi

    def log_message(self, *args: Any) -> None:
        """Stay quiet."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(body)
        self.server.headers_seen.append(dict(self.headers))
        if not body.get("stream"):
            time.sleep(self.server.delay_s)
        if self.server.status != 200:
            secret = self.headers["Authorization"]
            self._send_json(self.server.status, {"error": {"message": f"no: {secret}", "code": "x"}})
        elif self.server.raw is not None:
            self._send(200, "application/json", self.server.raw)
        elif body.get("stream"):
            self._stream(body)
        else:
            self._send_json(200, self._completion(body))

    def _usage(self) -> dict[str, int] | None:
        counts = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}
        return counts if self.server.sends_usage else None

    def _completion(self, body: dict[str, Any]) -> dict[str, Any]:
        message = {"role": "assistant", "content": self.server.reply}
        return {
            "id": "c1",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": self._usage(),
        }

    def _stream(self, body: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        pieces = [self.server.reply[i : i + 4] for i in range(0, len(self.server.reply), 4)]
        for number, piece in enumerate(pieces):
            if number == self.server.cut_after:
                self.wfile.write(b'data: {"broken')
                return
            time.sleep(self.server.delay_s)
            self._chunk(body, [{"index": 0, "delta": {"content": piece}, "finish_reason": None}])
        self._chunk(body, [{"index": 0, "delta": {}, "finish_reason": "stop"}])
        if self.server.sends_usage:
            self._chunk(body, [], self._usage())
        self.wfile.write(b"data: [DONE]\n\n")

    def _chunk(self, body: dict[str, Any], choices: list[Any], usage: dict[str, int] | None = None) -> None:
        chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
        event = {**chunk, "choices": choices, "usage": usage}
        self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
        self.wfile.flush()

    def _send_json(self, status: int, body: dict[str, Any]) -> None:
        self._send(status, "application/json", json.dumps(body).encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def run_fake_openai() -> Iterator[FakeOpenAi]:
    """Serve on a free loopback port for the length of the block."""
    server = FakeOpenAi()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

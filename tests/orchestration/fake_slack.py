"""Slack's Web API as far as the tool speaks it: tokens, posting, history with metadata, pages, webhooks."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

TOKEN, CHANNEL = "xoxb-right", "C024BE91L"


@dataclass
class FakeSlack:
    """`fails` breaks the next posts: by an error's code, or "after": posted, but the answer is a 503."""

    address: str = ""
    messages: list[dict] = field(default_factory=list)
    hooked: list[dict] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    fails: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.address}/api"

    @property
    def webhook(self) -> str:
        return f"http://{self.address}/services/T0/B0/secret"

    def post(self, body: dict) -> tuple[int, dict]:
        fault = self.fails.pop(0) if self.fails else ""
        if fault and fault != "after":
            return 200, {"ok": False, "error": fault}
        message = {**body, "ts": f"{2_000_000_000 + len(self.messages)}.000100"}
        self.messages.append(message)
        if fault:
            return 503, {}
        return 200, {"ok": True, "channel": body["channel"], "ts": message["ts"]}

    def history(self, query: dict[str, list[str]]) -> tuple[int, dict]:
        first = int(query.get("cursor", ["0"])[0])
        page = list(reversed(self.messages))[first : first + 2]
        shown = [
            message if "include_all_metadata" in query else {**message, "metadata": None} for message in page
        ]
        more = first + 2 < len(self.messages)
        return 200, {
            "ok": True,
            "messages": shown,
            "has_more": more,
            "response_metadata": {"next_cursor": str(first + 2) if more else ""},
        }

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[FakeSlack]:
        slack = cls()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "null")
                if self.path.startswith("/services/"):
                    slack.hooked.append(body)
                    self.answer(200, b"ok", "text/html")
                else:
                    self.act(lambda: slack.post(body))

            def do_GET(self) -> None:
                self.act(lambda: slack.history(parse_qs(urlsplit(self.path).query)))

            def act(self, what) -> None:
                slack.asked.append(urlsplit(self.path).path.rpartition("/")[2])
                if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    status, said = 200, {"ok": False, "error": "invalid_auth"}
                else:
                    status, said = what()
                self.answer(status, json.dumps(said).encode(), "application/json")

            def answer(self, status: int, content: bytes, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        slack.address = f"127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield slack
        finally:
            server.shutdown()
            server.server_close()
            thread.join(5)

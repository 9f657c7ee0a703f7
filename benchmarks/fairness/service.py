"""A service on loopback that takes its time."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TAKES_S = 0.1
ANSWER = b"{}"


class SlowService:
    """Answers every POST after some time, however many there are."""

    def __init__(self, takes_s: float = TAKES_S) -> None:
        self._takes_s = takes_s

    def __enter__(self) -> "SlowService":
        takes_s = self._takes_s

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                time.sleep(takes_s)
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(ANSWER)))
                self.end_headers()
                self.wfile.write(ANSWER)

            def log_message(self, *args: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

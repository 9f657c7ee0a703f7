"""How long a run waits in the queue: from asking for it to the beginning of its first step."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TextIO

from aiaas.embedded.servers import Servers
from benchmarks.engine.counters import Counters
from benchmarks.engine.ours import Engine

RATE, IDLE_S = 20.0, 15.0


def measure(servers: Servers, contestants: dict[str, Any], seconds: float, stdout: TextIO) -> dict[str, Any]:
    """Ask for runs at a rate that both can bear; DBOS's queue polls at its default of a second.

    Our first step calls a service on loopback, and its delay ends only when that has the request.
    """
    results: dict[str, Any] = {"ours": _ours(servers, contestants["ours"], seconds)}
    if "dbos" in contestants:
        results["dbos"] = contestants["dbos"].paced(rate=RATE, seconds=seconds)
        results["ratio"] = {
            share: round(results["ours"][share] / results["dbos"][share], 3) for share in ("p50_ms", "p99_ms")
        }
    stdout.write(f"  {json.dumps({'enqueue to first step': results})}\n")
    return results


def _ours(servers: Servers, engine: Engine, seconds: float) -> dict[str, Any]:
    counters = Counters(servers)
    with _clock() as (address, arrived):
        engine.environment["OUTBOUND_ALLOW"] = address
        with engine.worker():
            asked = engine.ask("paced", rate=RATE, seconds=seconds, url=f"http://{address}")["asked"]
            before = counters.read(engine.database)[1]
            time.sleep(IDLE_S)
            idle = (counters.read(engine.database)[1] - before) / (IDLE_S + 1.2)
    delays = sorted(arrived[number] - at for number, at in asked.items() if number in arrived)
    return {
        "p50_ms": round(delays[len(delays) // 2] * 1000, 2),
        "p99_ms": round(delays[int(0.99 * (len(delays) - 1))] * 1000, 2),
        "lost": len(asked) - len(delays),
        "idle_transactions_per_s": round(idle, 2),
    }


@contextmanager
def _clock() -> Iterator[tuple[str, dict[str, float]]]:
    """Run a service that notes when each path was asked for."""
    arrived: dict[str, float] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            arrived.setdefault(self.path.strip("/"), time.time())
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}", arrived
    finally:
        server.shutdown()

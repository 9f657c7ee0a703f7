"""The table of processes: which commands make up the product, and when each counts as ready."""

import http.client
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from aiaas.supervisor.child import ROOT, Child

# A laptop's share: small pools and one allocator arena keep everything together under 2 GiB.
FRUGAL = {
    "MALLOC_ARENA_MAX": "2",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUNBUFFERED": "1",
    "CELERY_SKIP_CHECKS": "1",  # Django's checks load every page of the product: half of a worker's start
}
WORKER_THREADS = "4"
HAVE_A_HEARTBEAT = {"background"}


def product_processes(*, environment: dict[str, str], data_dir: Path, host: str, port: int) -> list[Child]:
    """Return the processes in the order of starting; they stop in the same order, doorways first."""
    granian = [sys.executable, "-m", "granian", "--host", host, "--workers", "1", "--no-access-log"]
    celery = [sys.executable, "-m", "celery", "-A", "aiaas", "worker", "--pool", "threads", "-l", "INFO"]
    commands = {
        "web": [
            *(*granian, "--interface", "rsgi", "--no-ws", "--http", "1", "--port", str(port)),
            "aiaas.rsgi:application",
        ],
        "realtime": [*granian, "--interface", "asgi", "--port", str(port + 1), "aiaas.asgi:application"],
        "worker": [*celery, "--concurrency", WORKER_THREADS, "--without-gossip", "--without-mingle"],
        "background": [sys.executable, str(ROOT / "manage.py"), "run_background"],
    }
    shared = {**environment, **FRUGAL, "PROMETHEUS_MULTIPROC_DIR": str(_empty_metrics_dir(data_dir))}
    return [
        Child(
            name,
            command,
            environment={
                **shared,
                "OTEL_SERVICE_NAME": f"aiaas-{name}",
                "READY_FILE": str(_ready_file(data_dir, name)),
            },
            log_path=data_dir / "logs" / f"{name}.log",
            is_ready=_readiness(name, data_dir, host, port),
            heartbeat=_ready_file(data_dir, name) if name in HAVE_A_HEARTBEAT else None,
        )
        for name, command in commands.items()
    ]


def _readiness(name: str, data_dir: Path, host: str, port: int) -> Callable[[], bool]:
    if name == "web":
        return lambda: (http_status(host, port, "/healthz") or 503) < 500
    if name == "realtime":
        return lambda: http_status(host, port + 1, "/") is not None
    ready_file = _ready_file(data_dir, name)
    ready_file.unlink(missing_ok=True)
    return ready_file.exists


def _empty_metrics_dir(data_dir: Path) -> Path:
    # Every process counts into a file there, so that /metrics of the web process shows the sums of all.
    metrics_dir = data_dir / "metrics"
    shutil.rmtree(metrics_dir, ignore_errors=True)
    metrics_dir.mkdir(parents=True)
    return metrics_dir


def _ready_file(data_dir: Path, name: str) -> Path:
    return data_dir / f"{name}.ready"


def http_status(host: str, port: int, path: str) -> int | None:
    """Return the status of a GET; None when nobody answers."""
    host = "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def process_environment(**variables: str) -> dict[str, str]:
    """Return our environment with `variables` where the caller has set nothing."""
    return {**variables, **{name: value for name, value in os.environ.items() if value}}

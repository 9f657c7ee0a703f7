"""Whether this process is alive, whether it can serve, and what it has counted."""

import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import structlog
from celery import current_app
from django.conf import settings
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django_prometheus.exports import ExportToDjangoView
from redis import Redis
from redis.exceptions import RedisError

from apps.gateway.metrics import QUEUE_DEPTH
from apps.resilience.operators import may_see_metrics

log = structlog.get_logger(__name__)

TIMEOUT_S = 1.0
_migrated: list[bool] = []


def healthz(request: HttpRequest) -> JsonResponse:
    """Answer 200 while the process runs; asks nobody."""
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> JsonResponse:
    """Answer 200 when everything that a request needs answers, else 503 with what does not."""
    checks = {name: _passes(name, check) for name, check in CHECKS.items()}
    is_ready = all(checks.values())
    words = {name: "ok" if passed else "failed" for name, passed in checks.items()}
    return JsonResponse(
        {"status": "ok" if is_ready else "unavailable", "checks": words}, status=200 if is_ready else 503
    )


def failing_checks() -> list[str]:
    """Return the names of the servers that do not answer as they should."""
    return [name for name, check in CHECKS.items() if not _passes(name, check)]


def metrics(request: HttpRequest) -> HttpResponse:
    """Export the metrics of every process that shares PROMETHEUS_MULTIPROC_DIR with this one.

    They name tenants, so strangers get the answer of an address that leads nowhere.
    """
    forwarded = request.headers.get("X-Forwarded-For", "") or request.headers.get("Forwarded", "")
    if not may_see_metrics(
        authorization=request.headers.get("Authorization", ""),
        peer="" if forwarded else request.META.get("REMOTE_ADDR", ""),
    ):
        raise Http404
    queue: str = current_app.conf.task_default_queue
    try:
        with _valkey() as client:
            QUEUE_DEPTH.labels(queue).set(client.llen(queue))
    except RedisError as exc:
        log.warning("queue_depth_unknown", error=repr(exc))
    answer: HttpResponse = ExportToDjangoView(request)
    return answer


def check_database() -> None:
    """Run a statement as the application's role."""
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT 1")


def check_migrations() -> None:
    """Raise RuntimeError while a migration is missing; a database that was complete stays so."""
    if _migrated:
        return
    executor = MigrationExecutor(connections["default"])
    if missing := executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise RuntimeError(f"{len(missing)} migrations are missing, the first is {missing[0][0]}")
    _migrated.append(True)


def check_valkey() -> None:
    """Ping Valkey."""
    with _valkey() as client:
        client.ping()


def check_nats() -> None:
    """Connect to NATS and read its greeting; a client would keep an event loop for that."""
    first = urlsplit(settings.NATS_URL.split(",")[0])
    with socket.create_connection((first.hostname, first.port or 4222), TIMEOUT_S) as connection:
        connection.settimeout(TIMEOUT_S)
        if not connection.recv(5).startswith(b"INFO"):
            raise RuntimeError("what listens there is not NATS")


CHECKS: dict[str, Callable[[], None]] = {
    "database": check_database,
    "migrations": check_migrations,
    "valkey": check_valkey,
    "nats": check_nats,
}


def _valkey() -> Redis:
    return Redis.from_url(settings.REDIS_URL, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)


def _passes(name: str, check: Callable[[], None]) -> bool:
    try:
        check()
    except Exception as exc:
        log.warning("readiness_check_failed", check=name, error=repr(exc))
        return False
    return True

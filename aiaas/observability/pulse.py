"""A sign of life of every process in Valkey, so that the staff sees which ones run."""

import datetime as dt
import os
import socket
import threading
import time
from dataclasses import dataclass

import orjson
import psutil
import structlog
from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

ROLES = ("web", "realtime", "worker", "background")
BEAT_S = 10.0
KEPT_S = 45  # a process that is silent for longer counts as gone
PREFIX = "platform:process:"


@dataclass(frozen=True)
class ProcessView:
    role: str
    host: str
    pid: int
    started_at: dt.datetime
    beat_at: dt.datetime
    memory_bytes: int


def start_pulse(role: str) -> None:
    """Tell Valkey every ten seconds that this process lives, from a thread of its own."""
    assert role in ROLES
    threading.Thread(target=_beat_for_ever, args=[role], name="pulse", daemon=True).start()


def list_processes() -> list[ProcessView]:
    """Return the processes that gave a sign of life lately, by role; raises RedisError."""
    with _valkey() as client:
        keys = sorted(client.scan_iter(f"{PREFIX}*", count=1000))
        values = client.mget(keys) if keys else []
    views = [_read(orjson.loads(value)) for value in values if value]
    return sorted(views, key=lambda view: (ROLES.index(view.role), view.host, view.pid))


def beat(role: str) -> None:
    """Give one sign of life; raises RedisError."""
    process = psutil.Process()
    facts = {
        "role": role,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started_at": process.create_time(),
        "beat_at": time.time(),
        "memory_bytes": process.memory_info().rss,
    }
    with _valkey() as client:
        client.set(f"{PREFIX}{role}:{facts['host']}:{facts['pid']}", orjson.dumps(facts), ex=KEPT_S)


def _beat_for_ever(role: str) -> None:
    while True:
        try:
            beat(role)
        except RedisError as error:
            log.debug("pulse_missed", error=str(error))
        time.sleep(BEAT_S)


def _read(facts: dict[str, object]) -> ProcessView:
    return ProcessView(
        role=str(facts["role"]),
        host=str(facts["host"]),
        pid=int(str(facts["pid"])),
        memory_bytes=int(str(facts["memory_bytes"])),
        started_at=_moment(facts["started_at"]),
        beat_at=_moment(facts["beat_at"]),
    )


def _moment(value: object) -> dt.datetime:
    return dt.datetime.fromtimestamp(float(str(value)), dt.UTC)


def _valkey() -> Redis:
    return Redis.from_url(settings.REDIS_URL, socket_timeout=1.0, socket_connect_timeout=1.0)

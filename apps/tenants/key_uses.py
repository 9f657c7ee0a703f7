"""When API keys were last used: noted in memory and written in batches, for each key once a minute at most.

A process that is killed loses what the last seconds noted; the next use notes it again.
"""

import threading
import time

import structlog
from django.db import connections

from apps.tenants.context import APP

log = structlog.get_logger(__name__)

NOTED_EVERY_S = 60.0
WRITTEN_AFTER_S = 5.0
MEMORY_SIZE = 10_000
_noted: dict[str, float] = {}
_waiting: set[str] = set()
_lock = threading.Lock()
_timer: threading.Timer | None = None


def note_use(key_id: str) -> None:
    """Note that a key was used now; costs a look into memory, never a query."""
    global _timer
    now = time.monotonic()
    if now - _noted.get(key_id, -NOTED_EVERY_S) < NOTED_EVERY_S:
        return
    with _lock:
        if len(_noted) >= MEMORY_SIZE:
            _noted.clear()
        _noted[key_id] = now
        _waiting.add(key_id)
        if _timer is None or not _timer.is_alive():  # a forked child has not inherited the thread
            _timer = threading.Timer(WRITTEN_AFTER_S, _write_and_leave)
            _timer.daemon = True
            _timer.start()


def write_uses() -> None:
    """Write what was noted, in one statement; what cannot be written is noted again at the next use."""
    global _timer
    with _lock:
        used, _timer = sorted(_waiting), None
        _waiting.clear()
    if not used:
        return
    try:
        with connections[APP].cursor() as cursor:
            cursor.execute("SELECT note_api_key_uses(%s)", [used])
    except Exception as error:
        log.warning("key_uses_not_written", error=repr(error))
        for key_id in used:
            _noted.pop(key_id, None)


def forget_all() -> None:
    """Empty the memory, for tests."""
    global _timer
    with _lock:
        if _timer is not None:
            _timer.cancel()
        _timer = None
        _noted.clear()
        _waiting.clear()


def _write_and_leave() -> None:
    try:
        write_uses()
    finally:
        connections.close_all()

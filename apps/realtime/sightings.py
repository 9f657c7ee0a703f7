"""On which pages a widget was seen lately, in Valkey: it expires by itself, and losing it costs little.

An Origin header is what a stranger sends: few are kept, and only what looks like an origin.
"""

import datetime as dt
import re
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from redis import RedisError

from apps.realtime.valkey import client

logger = structlog.get_logger(__name__)

KEPT_ORIGINS = 20
KEPT_FOR_S = 14 * 24 * 3600
NOTED_EVERY_S = 60.0
MEMORY_SIZE = 10_000
ORIGIN = re.compile(r"https?://[\w.:\[\]-]{1,260}", re.ASCII)
SHOWN, REFUSED = "shown", "refused"
_noted: dict[tuple[str, str, str], float] = {}


@dataclass(frozen=True)
class Sighting:
    origin: str
    seen_at: dt.datetime


def note_sighting(*, tenant_id: UUID, key: str, origin: str, is_allowed: bool) -> None:
    """Note that a page showed the widget or was refused it; once a minute is enough."""
    kind, now = SHOWN if is_allowed else REFUSED, time.monotonic()
    if not ORIGIN.fullmatch(origin):
        return
    if now - _noted.get((key, kind, origin), -NOTED_EVERY_S) < NOTED_EVERY_S:
        return
    if len(_noted) >= MEMORY_SIZE:
        _noted.clear()
    _noted[key, kind, origin] = now
    try:
        place = _place(tenant_id, key, kind)
        with client().pipeline() as pipeline:
            pipeline.zadd(place, {origin: time.time()})
            pipeline.zremrangebyrank(place, 0, -KEPT_ORIGINS - 1)
            pipeline.expire(place, KEPT_FOR_S)
            pipeline.execute()
    except RedisError as error:
        logger.info("sighting_not_noted", error=repr(error))


def list_sightings(*, tenant_id: UUID, key: str, is_allowed: bool) -> list[Sighting]:
    """Return where the widget was seen, or refused, newest first; nothing without Valkey."""
    place = _place(tenant_id, key, SHOWN if is_allowed else REFUSED)
    try:
        kept: Any = client().zrevrange(place, 0, KEPT_ORIGINS - 1, withscores=True)
    except RedisError:
        return []
    return [Sighting(str(origin), dt.datetime.fromtimestamp(score, dt.UTC)) for origin, score in kept]


def forget_refusal(*, tenant_id: UUID, key: str, origin: str) -> None:
    """Drop an origin from the refused ones: it is allowed now."""
    try:
        client().zrem(_place(tenant_id, key, REFUSED), origin)
    except RedisError:
        return


def _place(tenant_id: UUID, key: str, kind: str) -> str:
    return f"widget:{tenant_id.hex}:{key}:{kind}"

"""Who looks at a conversation right now, in Valkey: it expires by itself, and losing it costs little."""

import json
import time
from dataclasses import dataclass
from uuid import UUID

from redis import RedisError

from apps.realtime.valkey import client

BEAT_S = 10
SEEN_FOR_S = 25
KEPT_FOR_S = 50
TYPING_FOR_S = 6


@dataclass(frozen=True)
class Present:
    """A colleague at a conversation."""

    session: str
    agent: str
    name: str
    is_typing: bool


def note_present(
    *, tenant_id: UUID, conversation_id: UUID, session: str, agent: str, name: str, is_typing: bool
) -> None:
    """Say that a colleague's session looks at a conversation; without Valkey nobody hears of it."""
    now = time.time()
    seen = {"agent": agent, "name": name, "until": now + SEEN_FOR_S}
    seen["typing_until"] = now + TYPING_FOR_S if is_typing else 0
    key = _key(tenant_id, conversation_id)
    try:
        with client().pipeline() as pipeline:
            pipeline.hset(key, session, json.dumps(seen))
            pipeline.expire(key, KEPT_FOR_S)
            pipeline.execute()
    except RedisError:
        return


def forget_present(*, tenant_id: UUID, conversation_id: UUID, session: str) -> None:
    """Say that a session looks elsewhere."""
    try:
        client().hdel(_key(tenant_id, conversation_id), session)
    except RedisError:
        return


def list_present(*, tenant_id: UUID, conversation_id: UUID) -> list[Present]:
    """Return who looks at a conversation, by name; nobody without Valkey."""
    now = time.time()
    try:
        kept = client().hgetall(_key(tenant_id, conversation_id))
    except RedisError:
        return []
    seen = [(session, json.loads(value)) for session, value in kept.items()]
    here = [
        Present(str(session), value["agent"], value["name"], value["typing_until"] > now)
        for session, value in seen
        if value["until"] > now
    ]
    return sorted(here, key=lambda present: (present.name, present.session))


def forget_conversation(*, tenant_id: UUID, conversation_id: UUID) -> int:
    """Forget everybody who looks at a conversation; raises RedisError."""
    return int(client().delete(_key(tenant_id, conversation_id)))


def _key(tenant_id: UUID, conversation_id: UUID) -> str:
    return f"presence:{tenant_id.hex}:{conversation_id.hex}"

"""One page of the inbox on one socket: it carries hints, and the page fetches what they speak of."""

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import orjson
from django.db import OperationalError

from apps.conversations import selectors as conversations
from apps.conversations.contracts import conversation_group, inbox_group
from apps.realtime.admission import Colleague
from apps.realtime.frames import MAX_FRAME_BYTES, FrameError, error_frame
from apps.realtime.hints import sender
from apps.realtime.hub import GroupMessage, Hub
from apps.realtime.outbound import Outbound
from apps.realtime.pace import TokenBucket
from apps.realtime.presence import BEAT_S, forget_present, list_present, note_present
from apps.realtime.session import Dismissed
from apps.realtime.threads import in_thread
from apps.resilience.errors import DomainError

# The permission that each frame needs, as the table of apps.tenants.permissions names it.
FRAMES = {"view": "read:conversations", "typing": "write:conversations"}
LIFETIME_S = 900.0  # then the page fetches another ticket, which asks again who is a member
KINDS = tuple(FRAMES)


class InboxSession:
    """Tell a colleague's page what changed, and the others what the colleague does.

    The groups' names are made of the ticket's tenant, so no page can listen to another tenant.
    """

    def __init__(self, *, colleague: Colleague, outbound: Outbound, hub: Hub) -> None:
        self._colleague, self._tenant = colleague, colleague.tenant
        self._outbound, self._hub = outbound, hub
        self._id = uuid4().hex
        self._viewed: UUID | None = None
        self._wake = asyncio.Event()
        self._is_dismissed = self._is_presence_stale = False
        self._pace = TokenBucket(burst=30, per_s=5)

    # What the page says.

    async def handle(self, raw: str | bytes) -> None:
        """Obey one frame; what is wrong with it is answered by an `error` frame. Raises SlowSocket."""
        try:
            if self._pace.wait_s(asyncio.get_running_loop().time()):
                raise FrameError("too_fast", "Wait a second before you send more.")
            fields = _parse(raw)
            self._require(FRAMES[fields["type"]])
            if fields["type"] == "view":
                await self._view(_conversation_id(fields))
            else:
                await self._type(is_for_customer=fields.get("to") == "customer")
        except FrameError as error:
            self._outbound.push(error_frame(error))
        except DomainError as error:
            self._outbound.push(error_frame(FrameError("refused", error.detail)))
        except OperationalError:
            self._outbound.push(error_frame(FrameError("try_again", "Send it again in a moment.")))

    def _require(self, permission: str) -> None:
        if not self._colleague.may(permission):
            raise FrameError("refused", f"This needs the permission {permission}.")

    async def _view(self, conversation_id: UUID | None) -> None:
        if conversation_id == self._viewed:
            return
        if conversation_id is not None:
            await in_thread(
                conversations.get_conversation, tenant=self._tenant, conversation_id=conversation_id
            )
        await self._look_away()
        if conversation_id is None:
            return
        self._viewed = conversation_id
        await self._hub.join(conversation_group(self._tenant.id, conversation_id), self)
        await self._show_up()
        self._tell_news()  # of what came between the page and this

    async def _type(self, *, is_for_customer: bool) -> None:
        if self._viewed is None:
            return
        await self._show_up(is_typing=True)
        if not is_for_customer:
            return
        conversation = await in_thread(
            conversations.get_conversation, tenant=self._tenant, conversation_id=self._viewed
        )
        if conversation.agent == self._colleague.agent:
            typing = {"type": "typing", "author": "agent", "active": True, "from": self._id}
            address = {"tenant_id": str(self._tenant.id), "conversation_id": str(self._viewed)}
            sender.send(conversation_group(self._tenant.id, self._viewed), {**typing, **address})

    async def _show_up(self, *, is_typing: bool = False) -> None:
        assert self._viewed is not None
        await in_thread(
            note_present,
            **self._place(),
            agent=self._colleague.agent,
            name=self._colleague.name,
            is_typing=is_typing,
        )
        self._tell_presence(self._viewed)

    async def _look_away(self) -> None:
        viewed = self._viewed
        if viewed is None:
            return
        place = self._place()
        self._viewed = None
        await self._hub.leave(conversation_group(self._tenant.id, viewed), self)
        await in_thread(forget_present, **place)
        self._tell_presence(viewed)

    def _place(self) -> dict[str, Any]:
        return {"tenant_id": self._tenant.id, "conversation_id": self._viewed, "session": self._id}

    def _tell_presence(self, conversation_id: UUID) -> None:
        hint = {"type": "presence.hint", "tenant_id": str(self._tenant.id), "about": str(conversation_id)}
        sender.send(inbox_group(self._tenant.id), hint)

    # What the tenant says.

    def hear(self, message: GroupMessage) -> None:
        kind, is_viewed = message["type"], message.get("about") == str(self._viewed)
        if kind == "presence.hint":
            self._is_presence_stale = self._is_presence_stale or is_viewed
            self._wake.set()
        elif kind == "inbox.hint":
            if message.get("is_queue", True):
                self._outbound.push_fleeting({"type": "queue"})
            if is_viewed:
                self._tell_news()
        elif kind in ("message.hint", "status.hint"):
            self._tell_news()
        elif kind == "typing" and message.get("author") == "customer":
            active = message.get("active") is not False
            self._outbound.push_fleeting({"type": "typing", "author": "customer", "active": active})

    def catch_up(self) -> None:
        self._outbound.push_fleeting({"type": "queue"})
        self._tell_news()

    def go_away(self) -> None:
        self._is_dismissed = True
        self._wake.set()

    def _tell_news(self) -> None:
        self._outbound.push_fleeting({"type": "news", "conversation_id": self._viewed})

    # Delivery.

    async def run(self) -> None:
        """Beat and tell of presence until the socket ends or has lived its time; raises Dismissed."""
        loop = asyncio.get_running_loop()
        ends_at, beat_at = loop.time() + LIFETIME_S, loop.time() + BEAT_S
        await self._hub.join(inbox_group(self._tenant.id), self)
        self._outbound.push({"type": "welcome", "session": self._id})
        while True:
            try:
                async with asyncio.timeout_at(beat_at):
                    await self._wake.wait()
            except TimeoutError:
                beat_at = loop.time() + BEAT_S
                await self._beat()
            self._wake.clear()
            if self._is_dismissed or loop.time() > ends_at:
                raise Dismissed
            if self._is_presence_stale:
                await self._show_presence()

    async def stop(self) -> None:
        """Stop listening."""
        await self._look_away()
        await self._hub.leave(inbox_group(self._tenant.id), self)

    async def _beat(self) -> None:
        self._outbound.push_fleeting({"type": "heartbeat"})
        if self._viewed is not None:
            await in_thread(
                note_present,
                **self._place(),
                agent=self._colleague.agent,
                name=self._colleague.name,
                is_typing=False,
            )
            self._is_presence_stale = True

    async def _show_presence(self) -> None:
        self._is_presence_stale = False
        if self._viewed is None:
            return
        viewed = self._viewed
        here = await in_thread(list_present, tenant_id=self._tenant.id, conversation_id=viewed)
        others = [present for present in here if present.agent != self._colleague.agent]
        people = [{"name": present.name, "is_typing": present.is_typing} for present in others]
        self._outbound.push_fleeting({"type": "presence", "conversation_id": viewed, "people": people})


def _parse(raw: str | bytes) -> Mapping[str, Any]:
    if len(raw) > MAX_FRAME_BYTES:
        raise FrameError("too_large", f"Send frames of at most {MAX_FRAME_BYTES // 1024} KiB.")
    try:
        fields = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise FrameError("bad_json", f"Send one JSON object per frame ({error}).") from None
    if not isinstance(fields, dict) or fields.get("type") not in KINDS:
        raise FrameError("unknown_type", "Send a JSON object whose `type` is `view` or `typing`.")
    return fields


def _conversation_id(fields: Mapping[str, Any]) -> UUID | None:
    given = fields.get("conversation_id")
    try:
        return None if given is None else UUID(given)
    except (ValueError, AttributeError, TypeError):
        raise FrameError("invalid", "`conversation_id` must be a UUID or null.") from None

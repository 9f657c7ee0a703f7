"""One conversation on one socket: answers frames, delivers in order, keeps the heartbeat."""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import structlog
from django.db import OperationalError
from django.utils import timezone

from apps.conversations import selectors as conversations
from apps.conversations.contracts import ConversationStatus, MessageView, conversation_group
from apps.realtime import frames
from apps.realtime.admission import Visitor
from apps.realtime.delivery import Delivery
from apps.realtime.frames import Frame, FrameError
from apps.realtime.hints import sender
from apps.realtime.hub import GroupMessage, Hub
from apps.realtime.outbound import Outbound
from apps.realtime.pace import TokenBucket
from apps.realtime.services import (
    OpenChat,
    Standing,
    find_opening,
    open_chat,
    require_widget,
    store_message,
    store_offline_message,
    store_profile,
    store_rating,
)
from apps.realtime.threads import in_thread
from apps.realtime.widget_settings.selectors import Widget
from apps.resilience.errors import DomainError

logger = structlog.get_logger(__name__)

HELLO_DEADLINE_S = 15.0
HEARTBEAT_S = 15.0
READ_LIMIT = 50
MESSAGES_PER_S = 1.0


class HelloMissing(Exception):
    """The client connected and said nothing."""


class Dismissed(Exception):
    """This process ends; the client resumes at another."""


class ChatSession:
    """Speak the contract's frames for one visitor; `handle` takes a frame, `run` delivers until it raises."""

    def __init__(self, *, visitor: Visitor, outbound: Outbound, hub: Hub) -> None:
        self._visitor, self._tenant = visitor, visitor.tenant
        self._outbound, self._hub = outbound, hub
        self._id = uuid4().hex
        self._conversation_id: UUID | None = None
        self._state = "open"
        self._is_introduced = visitor.identity is not None
        self._delivery = Delivery(last_seq=0)
        self._arrived: deque[MessageView] = deque()
        self._opened, self._wake = asyncio.Event(), asyncio.Event()
        self._is_dismissed = self._is_state_stale = False
        self._frame_pace = TokenBucket(burst=60, per_s=20)
        self._message_pace = TokenBucket(burst=10, per_s=MESSAGES_PER_S)
        self._form_pace = TokenBucket(burst=5, per_s=0.2)

    # What the client says.

    async def handle(self, raw: str | bytes) -> None:
        """Obey one frame; what is wrong with it is answered by an `error` frame. Raises SlowSocket."""
        frame: frames.ClientFrame | None = None
        try:
            self._keep_pace(self._frame_pace)
            frame = frames.parse_frame(raw)
            if not isinstance(frame, frames.Hello) and not self._opened.is_set():
                raise FrameError("hello_first", "Send `hello` and wait for `welcome` first.")
            await self._answers[type(frame)](self, frame)
        except FrameError as error:
            self._refuse(error, frame)
        except DomainError as error:
            self._refuse(_refusal_of(error), frame)
        except OperationalError:
            logger.exception("frame_not_served")
            self._refuse(FrameError("try_again", "Send it again in a moment.", retry_after_s=2), frame)

    def _refuse(self, error: FrameError, frame: frames.ClientFrame | None) -> None:
        if isinstance(frame, frames.Say | frames.Offline):
            error.more.setdefault("client_message_id", frame.client_message_id)
        self._outbound.push(frames.error_frame(error))

    def _keep_pace(self, pace: TokenBucket) -> None:
        wait_s = pace.wait_s(asyncio.get_running_loop().time())
        if wait_s:
            raise FrameError(
                "too_fast", f"Wait {wait_s:.1f} seconds before you send more.", retry_after_s=round(wait_s, 2)
            )

    async def _hello(self, hello: frames.Hello) -> None:
        if self._opened.is_set():
            raise FrameError("already_open", "This socket has its conversation; connect again for another.")
        widget = await in_thread(require_widget, self._visitor)
        chat = await in_thread(open_chat, visitor=self._visitor, hello=hello)
        self._conversation_id = chat.conversation.id
        self._state = chat.conversation.status
        self._is_introduced = self._is_introduced or chat.conversation.customer_id is not None
        self._delivery = Delivery(last_seq=chat.resume.after_seq, head_seq=chat.conversation.last_seq)
        await self._hub.join(self._group, self)
        self._outbound.push(self._welcome(chat, widget))
        self._opened.set()
        self._wake.set()

    async def _say(self, say: frames.Say) -> None:
        self._keep_pace(self._message_pace)
        received = await in_thread(
            store_message, standing=self._standing, text=say.text, client_message_id=say.client_message_id
        )
        message = received.message
        self._outbound.push({"type": "ack", "client_message_id": say.client_message_id, "seq": message.seq})
        self._arrived.append(message)
        self._wake.set()
        if received.is_new and received.run_id:
            self._outbound.push_fleeting({"type": "typing", "author": "ai", "active": True})

    async def _typing(self, typing: frames.Typing) -> None:
        self._tell_others({"type": "typing", "author": "customer", "active": typing.active})

    async def _read(self, read: frames.Read) -> None:
        self._tell_others(
            {"type": "read", "author": "customer", "seq": min(read.seq, self._delivery.head_seq)}
        )

    async def _rate(self, rating: frames.Rating) -> None:
        await in_thread(store_rating, standing=self._standing, rating=rating)
        self._outbound.push({"type": "status", "state": self._state, "rating": rating.score})

    async def _introduce(self, profile: frames.Profile) -> None:
        self._keep_pace(self._form_pace)
        await in_thread(store_profile, standing=self._standing, profile=profile)
        self._is_introduced = True
        self._outbound.push({"type": "profile", "known": True})

    async def _leave_message(self, message: frames.Offline) -> None:
        self._keep_pace(self._form_pace)
        await in_thread(store_offline_message, standing=self._standing, message=message)
        self._outbound.push({"type": "ack", "client_message_id": message.client_message_id})

    _answers: dict[type, Callable[[Any, Any], Awaitable[None]]] = {
        frames.Hello: _hello,
        frames.Say: _say,
        frames.Typing: _typing,
        frames.Read: _read,
        frames.Rating: _rate,
        frames.Profile: _introduce,
        frames.Offline: _leave_message,
    }

    # What the conversation says.

    def hear(self, message: GroupMessage) -> None:
        kind = message["type"]
        if kind == "message.hint":
            self._delivery.note_head(message["seq"])
        elif kind == "status.hint":
            self._is_state_stale = True
        elif kind in FLEETING and message.get("from") != self._id:
            fields = FLEETING[kind]
            self._outbound.push_fleeting({"type": kind, **{name: message[name] for name in fields}})
            return
        self._wake_up()

    def catch_up(self) -> None:
        self._delivery.is_behind = True
        self._is_state_stale = True
        self._wake_up()

    def go_away(self) -> None:
        self._is_dismissed = True
        self._wake_up()

    def _wake_up(self) -> None:
        if self._opened.is_set():  # not before the welcome
            self._wake.set()

    # Delivery.

    async def run(self) -> None:
        """Deliver until the socket ends; raises HelloMissing or Dismissed."""
        try:
            async with asyncio.timeout(HELLO_DEADLINE_S):
                await self._opened.wait()
        except TimeoutError:
            raise HelloMissing from None
        beat_at = self._next_beat(random.uniform(0.5, 1))  # noqa: S311 a crowd that reconnects spreads out
        while True:
            try:
                async with asyncio.timeout_at(beat_at):
                    await self._wake.wait()
            except TimeoutError:
                await self._beat()
                beat_at = self._next_beat()
            self._wake.clear()
            if self._is_dismissed:
                raise Dismissed
            await self._deliver()

    async def stop(self) -> None:
        """Stop listening to the conversation."""
        if self._conversation_id:
            await self._hub.leave(self._group, self)

    async def _deliver(self) -> None:
        while self._arrived:
            if message := self._delivery.offer(self._arrived.popleft()):
                await self._outbound.put(frames.message_frame(message))
        while self._delivery.is_behind:
            rows = await in_thread(
                conversations.list_messages,
                tenant=self._tenant,
                conversation_id=self._known_id,
                after_seq=self._delivery.begin_read(),
                limit=READ_LIMIT,
            )
            for message in self._delivery.merge(rows, is_full=len(rows) == READ_LIMIT):
                await self._outbound.put(frames.message_frame(message))
        if self._is_state_stale:
            await self._look()

    async def _beat(self) -> None:
        await self._look()
        self._outbound.push_fleeting({"type": "heartbeat", "head_seq": self._delivery.head_seq})

    async def _look(self) -> None:
        self._is_state_stale = False
        conversation = await in_thread(
            conversations.get_conversation, tenant=self._tenant, conversation_id=self._known_id
        )
        self._delivery.note_head(conversation.last_seq)
        if conversation.status != self._state:
            self._state = conversation.status
            opens_at = await in_thread(find_opening, self._visitor)
            back = {"opens_at": opens_at} if opens_at else {}
            self._outbound.push_fleeting({"type": "status", "state": self._state, **back})

    def _next_beat(self, part: float = 1.0) -> float:
        return asyncio.get_running_loop().time() + HEARTBEAT_S * part

    def _tell_others(self, frame: Frame) -> None:
        address = {"tenant_id": str(self._tenant.id), "conversation_id": str(self._known_id)}
        sender.send(self._group, {**frame, **address, "from": self._id})

    def _welcome(self, chat: OpenChat, widget: Widget) -> Frame:
        now = timezone.now()
        return {
            "type": "welcome",
            "conversation_id": chat.conversation.id,
            "session": chat.session,
            "head_seq": chat.conversation.last_seq,
            "epoch": str(chat.conversation.epoch),
            "state": chat.conversation.status,
            "snapshot": chat.resume.is_snapshot,
            "after_seq": chat.resume.after_seq,
            "settings": widget.public,
            "known": self._is_introduced,
            "opens_at": widget.opens_at(now),
            "form_only": widget.takes_forms_only(now) and self._state != ConversationStatus.WITH_AGENT,
        }

    @property
    def _standing(self) -> Standing:
        return Standing(self._visitor, self._known_id, self._state, self._is_introduced)

    @property
    def _group(self) -> str:
        return conversation_group(self._tenant.id, self._known_id)

    @property
    def _known_id(self) -> UUID:
        assert self._conversation_id is not None
        return self._conversation_id


REFUSALS = {402: "quota_spent", 404: "not_found"}

# Group messages that are passed on as they are, and the fields that a client may see.
FLEETING = {
    "delta": ("reply_id", "offset", "text"),
    "typing": ("author", "active"),
    "read": ("author", "seq"),
}


def _refusal_of(error: DomainError) -> FrameError:
    if error.errors:
        field, texts = next(iter(error.errors.items()))
        return FrameError("invalid", texts[0], field=field)
    return FrameError(REFUSALS.get(error.status, "refused"), error.detail)

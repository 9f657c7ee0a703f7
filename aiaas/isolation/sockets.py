"""Attack every kind of socket with every kind of frame."""

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

import orjson
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.db import connections
from django.test import Client
from django.urls import reverse

from aiaas.isolation.companies import Company
from aiaas.isolation.evidence import Watch, find_foreign
from aiaas.isolation.report import Report
from apps.conversations.services import post_reply
from apps.realtime.consumer import ChatConsumer, InboxConsumer, SocketConsumer
from apps.realtime.frames import PARSERS
from apps.realtime.hub import Hub
from apps.realtime.inbox import KINDS
from apps.realtime.threads import in_thread
from apps.tenants.selectors import get_widget_key

SURFACE = "sockets"
BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
SILENCE_S = 0.15
PATIENCE_S = 5.0
Frame = dict[str, Any]


class Socket:
    """One client's side."""

    def __init__(self, consumer: SocketConsumer, query: dict[str, str]) -> None:
        scope = {"type": "websocket", "path": "/", "query_string": urlencode(query).encode(), "headers": []}
        communicator: Any = ApplicationCommunicator  # untyped
        self._wire = communicator(consumer, scope)

    async def open(self) -> "Socket":
        await self._wire.send_input({"type": "websocket.connect"})
        await self._wire.receive_output(timeout=PATIENCE_S)
        return self

    async def say(self, frame: Frame) -> None:
        await self._wire.send_input({"type": "websocket.receive", "text": orjson.dumps(frame).decode()})

    async def hear(self, kind: str = "") -> Frame:
        """Return the next frame, or the next of a kind; empty when none comes."""
        with suppress(TimeoutError, asyncio.TimeoutError):
            while True:
                event = await self._wire.receive_output(timeout=PATIENCE_S)
                frame = orjson.loads(event.get("text") or "{}")
                if kind in ("", frame.get("type", "")) or not frame:
                    return dict(frame)
        return {}

    async def hear_all(self) -> str:
        """Return everything that comes until it is quiet."""
        heard = []
        while not await self._wire.receive_nothing(timeout=SILENCE_S):
            heard.append(str((await self._wire.receive_output(timeout=PATIENCE_S)).get("text", "")))
        return "\n".join(heard)

    async def leave(self) -> None:
        with suppress(Exception):
            await self._wire.send_input({"type": "websocket.disconnect", "code": 1000})
            await self._wire.wait(timeout=1)


class SocketAttack:
    """Replay the victim's conversation and session on the intruder's sockets, and listen for the victim."""

    def __init__(self, report: Report, victim: Company, intruder: Company) -> None:
        self.report, self.victim, self.intruder = report, victim, intruder
        self.watch = Watch(victim, intruder)

    def run(self) -> None:
        """Attack every subclass of SocketConsumer."""
        async_to_sync(self._run)()
        connections.close_all()

    async def _run(self) -> None:
        hub = Hub()
        try:
            kinds: list[Any] = SocketConsumer.__subclasses__()
            for kind in kinds:
                self.report.aim(SURFACE)
                if kind not in QUERIES:
                    self.report.miss(SURFACE, f"{kind.__name__}: say in QUERIES how it is opened")
                    continue
                await self._attack(kind, hub)
        finally:
            await hub.close()

    async def _attack(self, kind: type[SocketConsumer], hub: Hub) -> None:
        known = await self._live_a_little(hub)
        before = await in_thread(self.watch.snapshot)
        for frame in _frames(kind, known):
            self.report.aim(SURFACE)
            socket = await Socket(kind(hub), await in_thread(QUERIES[kind], self.intruder)).open()
            for each in _beginning(kind, frame):
                await socket.say(each)
            heard = await socket.hear_all()
            if not heard:
                self.report.miss(SURFACE, f"{kind.__name__} {frame['type']}: no answer at all")
            finding = find_foreign(heard, self.victim, [value for value in map(str, frame.values()) if value])
            self.report.judge(SURFACE, f"{kind.__name__} {frame}", finding)
            await socket.leave()
        finding = await in_thread(self.watch.changed_since, before)
        self.report.judge(SURFACE, f"{kind.__name__}: all of them", finding)
        await self._overhear(kind, hub, known)

    async def _live_a_little(self, hub: Hub) -> dict[str, str]:
        """Let the victim's customer write, and return what their browser knows."""
        socket = await Socket(ChatConsumer(hub), await in_thread(_chat_query, self.victim)).open()
        await socket.say({"type": "hello"})
        welcome = await socket.hear("welcome")
        text = f"I am {self.victim.mark}"
        await socket.say({"type": "message", "client_message_id": uuid.uuid4().hex, "text": text})
        await socket.hear("ack")
        await socket.leave()
        return {name: str(welcome.get(name, "")) for name in ("conversation_id", "session", "epoch")}

    async def _overhear(self, kind: type[SocketConsumer], hub: Hub, known: dict[str, str]) -> None:
        """Listen on the intruder's socket while the victim is told something; the victim hears of it."""
        strange = await Socket(kind(hub), await in_thread(QUERIES[kind], self.intruder)).open()
        own = await Socket(ChatConsumer(hub), await in_thread(_chat_query, self.victim)).open()
        await own.say({"type": "hello", **known})
        for frame in _beginning(kind, {"type": "view", **known}):
            await strange.say(frame)
        await own.hear("welcome")
        await in_thread(self._reply, known["conversation_id"])
        is_told = self.victim.mark in str(await own.hear("message"))
        if not is_told:
            self.report.miss(SURFACE, "the victim's own socket hears nothing")
        heard = await strange.hear_all()
        self.report.judge(
            SURFACE, f"{kind.__name__}: listening", find_foreign(heard, self.victim, known.values())
        )
        for socket in (own, strange):
            await socket.leave()

    def _reply(self, conversation_id: str) -> None:
        keys = {"conversation_id": uuid.UUID(conversation_id), "reply_key": str(uuid.uuid4())}
        post_reply(tenant=self.victim.tenant, text=f"You are {self.victim.mark}", **keys)  # type: ignore[arg-type]


def _chat_query(company: Company) -> dict[str, str]:
    return {"key": get_widget_key(tenant=company.tenant).key}


def _inbox_query(company: Company) -> dict[str, str]:
    browser = Client()
    browser.force_login(company.owner(), backend=BACKEND)  # type: ignore[arg-type]
    return {"ticket": browser.get(reverse("inbox_ticket")).json()["ticket"]}


QUERIES = {ChatConsumer: _chat_query, InboxConsumer: _inbox_query}


def _frames(kind: type[SocketConsumer], known: dict[str, str]) -> Iterator[Frame]:
    """Yield a frame of every type with the victim's names in all of its fields."""
    told = {
        **known,
        "client_message_id": uuid.uuid4().hex,
        "text": "hello",
        "seq": 1,
        "score": 5,
        "last_seq": 0,
        "to": "customer",
        "email": "asked@proof.example",
        "consent": True,
    }
    for name in PARSERS if kind is ChatConsumer else KINDS:
        yield {**told, "type": name}
    if kind is ChatConsumer:
        yield {"type": "hello", "session": known["session"]}
        yield {"type": "hello", "conversation_id": known["conversation_id"]}


def _beginning(kind: type[SocketConsumer], frame: Frame) -> list[Frame]:
    """Return a frame with what must be said before it."""
    if kind is ChatConsumer:
        return [frame] if frame["type"] == "hello" else [{"type": "hello"}, frame]
    return [frame] if frame["type"] == "view" else [{**frame, "type": "view"}, frame]

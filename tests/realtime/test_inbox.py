"""The socket of the inbox: hints, presence and typing, and nothing of another tenant's."""

import asyncio
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import pytest
from asgiref.testing import ApplicationCommunicator
from uuid_utils.compat import uuid7

from apps.conversations import selectors, services
from apps.conversations.contracts import InboxTicket
from apps.conversations.services import issue_inbox_ticket, tickets
from apps.realtime import inbox, presence
from apps.realtime.consumer import InboxConsumer
from apps.realtime.hints import sender
from apps.realtime.threads import in_thread
from apps.realtime.valkey import client
from tests.pages import log_in
from tests.realtime.conftest import Browser

HOSTILE = [
    "",
    "[]",
    "{",
    "null",
    '{"type":"view","conversation_id":7}',
    '{"type":"view","conversation_id":"x"}',
    '{"type":"message","text":"hi"}',
    '{"type":["view"]}',
    "\x00",
    "[" * 5000,
    "9" * 70_000,
]


class Colleague(Browser):
    """One inbox page's socket."""

    def __init__(self, hub, ticket: str) -> None:
        scope = {
            "type": "websocket", "path": "/ws/inbox/", "headers": [],
            "query_string": urlencode({"ticket": ticket}).encode(),
        }  # fmt: skip
        self._wire = ApplicationCommunicator(InboxConsumer(hub), scope)

    async def view(self, conversation_id) -> None:
        await self.send("view", conversation_id=str(conversation_id))
        await asyncio.sleep(0.2)

    async def hears_nothing(self, *but: str) -> bool:
        """Tell whether nothing but frames of some kinds comes for a while."""
        while not await self._wire.receive_nothing(timeout=0.4):
            if (await self.hear())["type"] not in but:
                return False
        return True


def ticket_of(tenant, name="Ann", may_write=True, held=None) -> str:
    """Return a ticket as the inbox's page gives it to a member who has just logged in."""
    held = held or read_held(log_in(tenant))
    return issue_inbox_ticket(
        InboxTicket(tenant_id=tenant.id, agent=f"user:{name}", name=name, may_write=may_write, held=held)
    )


def read_held(browser) -> str:
    return tickets.read_inbox_ticket(browser.get("/app/inbox/ticket/").json()["ticket"]).held


@pytest.fixture
async def work(hub, live_db, valkey):
    client.cache_clear()
    colleagues = []

    async def open_page(tenant, name="Ann", **options) -> Colleague:
        page = Colleague(hub, await in_thread(ticket_of, tenant, name, **options))
        colleagues.append(page)
        await page.connect()
        assert (await page.hear())["type"] == "welcome"
        return page

    yield open_page
    for page in colleagues:
        await page.leave()
    await in_thread(sender.close)


async def begin(tenant):
    return await in_thread(services.start_conversation, tenant=tenant, channel="widget", text="I am angry")


async def escalate(tenant, conversation_id):
    return await in_thread(
        services.open_escalation, tenant=tenant, conversation_id=conversation_id, reason="angry",
        effect_key=str(uuid4()),
    )  # fmt: skip


async def say(tenant, conversation_id, text="Hello?"):
    await in_thread(services.receive_message, tenant=tenant, conversation_id=conversation_id, text=text)


@pytest.mark.parametrize("ticket", ["", "x", "a:b:c", "\x00"], ids=range(4))
async def test_a_page_without_a_ticket_is_turned_away(hub, live_db, acme, valkey, ticket):
    page = Colleague(hub, ticket)
    await page.connect()
    assert await page.close_code() == 4401


async def test_a_ticket_does_not_last(hub, live_db, acme, valkey, monkeypatch):
    ticket = await in_thread(ticket_of, acme)
    monkeypatch.setattr(tickets, "LIFETIME_S", -1)
    page = Colleague(hub, ticket)
    await page.connect()
    assert await page.close_code() == 4401


async def test_what_came_before_somebody_looked_is_hinted_at(work, acme):
    page = await work(acme)
    started = await begin(acme)
    await page.view(started.conversation.id)
    assert (await page.hear("news"))["conversation_id"] == str(started.conversation.id)


async def test_the_queue_hears_whose_turn_it_is(work, acme, globex):
    page, foreign = await work(acme), await work(globex)
    started = await begin(acme)
    called = await escalate(acme, started.conversation.id)
    await in_thread(services.claim_escalation, tenant=acme, escalation_id=called.id, agent="user:Bea")
    while not await page._wire.receive_nothing(timeout=0.4):
        await page.hear()
    await say(acme, started.conversation.id)
    await page.hear("queue")
    await in_thread(
        services.send_agent_message, tenant=acme, conversation_id=started.conversation.id, agent="user:Bea",
        text="Hi", reply_key=str(uuid4()),
    )  # fmt: skip
    await page.hear("queue")
    assert await foreign.hears_nothing()


async def test_the_queue_and_the_viewed_conversation_are_hinted_at(work, acme):
    page = await work(acme)
    started = await begin(acme)
    called = await escalate(acme, started.conversation.id)
    await page.hear("queue")
    await page.view(started.conversation.id)
    await say(acme, started.conversation.id)
    assert (await page.hear("news"))["conversation_id"] == str(started.conversation.id)
    await in_thread(services.claim_escalation, tenant=acme, escalation_id=called.id, agent="user:Bea")
    await page.hear("queue")
    await page.hear("news")


async def test_no_hint_crosses_tenants(work, acme, globex):
    """Neither queue, nor messages, notes, typing or presence; also where the conversation's id is known."""
    spy, bea = await work(globex, "Spy"), await work(acme, "Bea")
    started = await begin(acme)
    conversation_id = started.conversation.id
    await spy.view(conversation_id)
    assert (await spy.hear())["code"] == "refused"
    await bea.view(conversation_id)
    called = await escalate(acme, conversation_id)
    await say(acme, conversation_id)
    await in_thread(
        services.add_note, tenant=acme, conversation_id=conversation_id, author="user:Bea", text="x"
    )
    await in_thread(services.claim_escalation, tenant=acme, escalation_id=called.id, agent="user:Bea")
    await bea.send("typing", to="customer")
    assert await spy.hears_nothing("heartbeat")
    assert presence.list_present(tenant_id=globex.id, conversation_id=conversation_id) == []
    assert len(presence.list_present(tenant_id=acme.id, conversation_id=conversation_id)) == 1


async def test_colleagues_see_each_other(work, acme, monkeypatch):
    conversation_id = (await begin(acme)).conversation.id
    ann, bea = await work(acme), await work(acme, "Bea")
    await ann.view(conversation_id)
    await bea.view(conversation_id)

    async def sees(page, wanted) -> bool:
        while (await page.hear("presence"))["people"] != wanted:
            pass
        return True

    assert await sees(ann, [{"name": "Bea", "is_typing": False}])
    assert await sees(bea, [{"name": "Ann", "is_typing": False}])
    await bea.send("typing", to="team")
    assert await sees(ann, [{"name": "Bea", "is_typing": True}])
    await bea.send("view", conversation_id=None)
    assert await sees(ann, [])


async def test_who_is_gone_is_forgotten(work, acme, monkeypatch):
    conversation_id = uuid7()
    place = {"tenant_id": acme.id, "conversation_id": conversation_id}
    presence.note_present(**place, session="s", agent="user:1", name="Bea", is_typing=True)
    (here,) = presence.list_present(**place)
    assert (here.name, here.is_typing) == ("Bea", True)
    assert 0 < client().ttl(presence._key(acme.id, conversation_id)) <= 50
    monkeypatch.setattr(presence, "SEEN_FOR_S", -1)
    presence.note_present(**place, session="s", agent="user:1", name="Bea", is_typing=True)
    assert presence.list_present(**place) == []


async def test_typing_goes_both_ways_and_only_from_who_has_it(work, browse, acme):
    customer = await browse()
    welcome = await customer.hello()
    await customer.say("I am angry")
    await customer.hear("message")
    conversation_id = welcome["conversation_id"]
    called = await escalate(acme, conversation_id)
    ann = await work(acme)
    await ann.view(conversation_id)
    await customer.send("typing")
    assert (await ann.hear("typing"))["author"] == "customer"

    await ann.send("typing", to="customer")  # nobody has it yet
    await ann.send("typing", to="team")
    await in_thread(services.claim_escalation, tenant=acme, escalation_id=called.id, agent="user:Ann")
    while (await customer.hear()) != {"type": "status", "state": "with_agent"}:
        pass
    await ann.send("typing", to="customer")
    typing = await customer.hear("typing")
    assert typing == {"type": "typing", "author": "agent", "active": True}


async def test_a_private_note_never_reaches_the_customer(work, browse, acme):
    """Not by the socket, not by catching up, not among the messages, not in what the AI reads."""
    secret = "the customer is lying"
    customer = await browse()
    welcome = await customer.hello()
    await customer.say("I am angry")
    await customer.hear("message")
    conversation_id, session = UUID(welcome["conversation_id"]), welcome["session"]
    called = await escalate(acme, conversation_id)
    await in_thread(services.claim_escalation, tenant=acme, escalation_id=called.id, agent="user:Ann")
    ann = await work(acme, "Bea")
    await ann.view(conversation_id)
    await in_thread(
        services.add_note, tenant=acme, conversation_id=conversation_id, author="user:Ann", text=secret
    )
    await ann.hear("news")
    await in_thread(
        services.send_agent_message, tenant=acme, conversation_id=conversation_id, agent="user:Ann",
        text="Sorry!", reply_key="r",
    )  # fmt: skip
    heard = [await customer.hear()]
    while heard[-1].get("text") != "Sorry!":
        heard.append(await customer.hear())
    again = await browse()
    heard.append(await again.hello(conversation_id=str(conversation_id), session=session, last_seq=0))
    while heard[-1].get("text") != "Sorry!":
        heard.append(await again.hear())
    assert secret not in str(heard)
    assert "note" not in {frame["type"] for frame in heard}
    assert [frame["seq"] for frame in heard if frame["type"] == "message"] == [2, 1, 2]
    listed: Any = await in_thread(selectors.list_messages, tenant=acme, conversation_id=conversation_id)
    turns = await in_thread(
        selectors.list_recent_turns, tenant=acme, conversation_id=conversation_id, limit=50
    )
    assert secret not in str(listed) + str(turns)


@pytest.mark.parametrize("raw", HOSTILE, ids=range(len(HOSTILE)))
async def test_hostile_frames_are_answered_and_survived(work, acme, raw):
    page = await work(acme)
    await page.send_raw(raw)
    assert (await page.hear())["type"] == "error"
    await page.send("view", conversation_id=str((await begin(acme)).conversation.id))
    await page.hear("presence")


async def test_a_viewer_never_types(work, acme):
    page, ann = await work(acme, "Vic", may_write=False), await work(acme)
    conversation_id = (await begin(acme)).conversation.id
    await page.view(conversation_id)
    await page.send("typing", to="customer")
    await ann.view(conversation_id)
    assert (await ann.hear("presence"))["people"] == [{"name": "Vic", "is_typing": False}]


async def test_a_page_proves_its_member_again_after_a_while(work, acme, monkeypatch):
    monkeypatch.setattr(inbox, "LIFETIME_S", 0.0)
    monkeypatch.setattr(inbox, "BEAT_S", 0.1)
    page = await work(acme)
    assert await page.close_code() == 1012

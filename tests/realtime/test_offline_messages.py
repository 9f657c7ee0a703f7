"""Messages while nobody is there, which become leads."""

import asyncio
from uuid import UUID

import pytest

from apps.conversations import services as conversations
from apps.crm.models import Lead
from apps.realtime import services, session
from apps.realtime.threads import in_thread
from tests.realtime.visitors import AWAY, LETTER, hours_without_today, read


@pytest.fixture
async def closed(browse, settle):
    await settle(**AWAY, hours=hours_without_today())
    browser = await browse()
    browser.welcome = await browser.hello()
    return browser


async def test_a_message_outside_of_hours_is_a_lead_once_also_when_sent_again(closed, browse, acme):
    await closed.send("offline", **LETTER)
    assert await closed.hear() == {"type": "ack", "client_message_id": "o1"}
    again = await browse()
    fields = {name: closed.welcome[name] for name in ("conversation_id", "session")}
    await again.hello(**fields)
    await again.send("offline", **LETTER)
    assert (await again.hear("ack"))["client_message_id"] == "o1"
    (lead,) = await read(acme, lambda: list(Lead.objects.all()))
    assert (lead.name, lead.email, lead.message, lead.source) == (
        "Vera", "vera@x.example", "Call me", "widget",
    )  # fmt: skip


async def test_the_same_id_in_another_conversation_is_another_lead(closed, browse, acme):
    await closed.send("offline", **LETTER)
    await closed.hear("ack")
    other = await browse()
    await other.hello()
    await other.send("offline", **{**LETTER, "text": "Me too"})
    await other.hear("ack")
    assert await read(acme, Lead.objects.count) == 2


async def test_the_ack_comes_after_the_lead_is_stored(closed, acme, monkeypatch):
    def fail(**_: object) -> None:
        raise session.OperationalError

    monkeypatch.setattr(services, "capture_lead", fail)
    await closed.send("offline", **LETTER)
    error = await closed.hear()
    assert (error["type"], error["code"], error["client_message_id"]) == ("error", "try_again", "o1")
    assert error["retry_after_s"] > 0
    assert await read(acme, Lead.objects.count) == 0


async def test_chatting_is_refused_while_only_the_form_is_open(closed, acme):
    await closed.send("message", client_message_id="m1", text="Anybody?")
    error = await closed.hear()
    assert (error["code"], error["client_message_id"]) == ("closed_now", "m1")
    assert error["opens_at"] == closed.welcome["opens_at"]


async def test_who_talks_with_a_person_goes_on_after_hours(browse, settle, acme):
    browser = await browse()
    welcome = await browser.hello()
    conversation_id = UUID(welcome["conversation_id"])
    await in_thread(
        conversations.take_over_conversation, tenant=acme, conversation_id=conversation_id, agent="user:1"
    )
    await browser.hear("status")
    await settle(**AWAY, hours=hours_without_today())
    assert (await browser.say("One more thing"))["seq"] == 1
    fields = {name: welcome[name] for name in ("conversation_id", "session")}
    assert (await (await browse()).hello(**fields))["form_only"] is False


WRONG_LETTERS = [
    ({"email": ""}, "email"),
    ({"email": "nobody"}, "email"),
    ({"text": " "}, "text"),
    ({"text": "x" * 4001}, "text"),
    ({"name": ["Vera"]}, "name"),
    ({"text": "a\x00b"}, "text"),
    ({"consent": 1}, "consent"),
]


async def test_a_wrong_message_is_told_at_its_field_and_keeps_nothing(closed, acme):
    for given, field in WRONG_LETTERS:
        await closed.send("offline", **{**LETTER, **given})
        error = await closed.hear("error")
        assert (error["field"], error["client_message_id"]) == (field, "o1")
    assert await read(acme, Lead.objects.count) == 0


async def test_consent_is_asked_for_by_the_server_too(closed, settle, acme):
    await settle(ask_consent=True)
    await closed.send("offline", **LETTER)
    assert (await closed.hear("error"))["field"] == "consent"
    await closed.send("offline", **LETTER, consent=True)
    assert (await closed.hear("ack"))["client_message_id"] == "o1"


async def test_messages_for_later_are_not_taken_where_the_ai_answers(browse, settle, acme):
    await settle(has_hours=True, outside_hours="handover", hours=hours_without_today())
    browser = await browse()
    await browser.hello()
    await browser.send("offline", **LETTER)
    assert (await browser.hear("error"))["code"] == "not_offline"
    assert await read(acme, Lead.objects.count) == 0


async def test_forms_are_paced(closed):
    for number in range(6):
        await closed.send("offline", **{**LETTER, "client_message_id": f"o{number}"})
    error = await closed.hear("error")
    assert (error["code"], error["client_message_id"]) == ("too_fast", "o5")


async def test_many_at_once_with_one_id_make_one_lead(closed, browse, acme):
    fields = {name: closed.welcome[name] for name in ("conversation_id", "session")}
    tabs = [await browse() for _ in range(4)]
    for tab in tabs:
        await tab.hello(**fields)
    await asyncio.gather(*(tab.send("offline", **LETTER) for tab in tabs))
    for tab in tabs:
        assert (await tab.hear("ack"))["client_message_id"] == "o1"
    assert await read(acme, Lead.objects.count) == 1

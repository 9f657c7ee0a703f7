"""What a visitor sees of one conversation."""

from uuid import UUID

import pytest
from django.utils import timezone

from apps.billing.contracts import QuotaSpent, QuotaState
from apps.conversations import services as conversations
from apps.conversations.contracts import conversation_group
from apps.realtime import services, session
from apps.realtime.hints import sender
from apps.realtime.metrics import websocket_connections_active
from apps.realtime.threads import in_thread


async def reply(tenant, conversation_id: str, text: str, **fields):
    return await in_thread(
        conversations.post_reply,
        tenant=tenant,
        conversation_id=UUID(conversation_id),
        text=text,
        reply_key=f"{conversation_id}:{text}",
        **fields,
    )


async def test_a_message_is_acknowledged_shown_and_answered(browse, acme):
    browser = await browse()
    welcome = await browser.hello()
    assert welcome["type"] == "welcome"
    assert (welcome["head_seq"], welcome["state"], welcome["snapshot"]) == (0, "open", False)
    await browser.send("message", client_message_id="m1", text="How do returns work?")
    ack = await browser.hear("ack")
    assert ack == {"type": "ack", "client_message_id": "m1", "seq": 1}
    shown = await browser.hear("message")
    assert (shown["seq"], shown["author"], shown["client_message_id"]) == (1, "customer", "m1")
    source = {"index": 1, "title": "Returns", "quote": "30 days", "url": None}
    await reply(
        acme, welcome["conversation_id"], "Within 30 days [1].", sources=[source], receipt={"tier": "small"}
    )
    answer = await browser.hear("message")
    assert (answer["seq"], answer["author"], answer["text"]) == (2, "ai", "Within 30 days [1].")
    assert answer["sources"] == [source]
    assert answer["receipt"] == {"tier": "small"}


async def test_the_same_message_twice_is_one_message(browse):
    browser = await browse()
    await browser.hello()
    first, again = await browser.say("Hello", "m1"), await browser.say("Hello", "m1")
    assert first == again
    await browser.say("Next", "m2")
    assert (await browser.hear("message"))["seq"] == 2


async def test_an_answering_assistant_is_typing(browse):
    browser = await browse()
    await browser.hello()
    await browser.send("message", client_message_id="m1", text="Hi")
    assert (await browser.hear("typing"))["author"] == "ai"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ('{"type":"message","client_message_id":"m1","text":"too early"}', "hello_first"),
        ("{not json", "bad_json"),
        ('{"type":"shout"}', "unknown_type"),
        ('{"type":"hello","conversation_id":"x"}', "invalid"),
    ],
)
async def test_a_wrong_frame_is_explained_and_the_socket_goes_on(browse, raw, code):
    browser = await browse()
    await browser.send_raw(raw)
    error = await browser.hear()
    assert (error["type"], error["code"]) == ("error", code)
    assert error["detail"]
    assert (await browser.hello())["type"] == "welcome"


async def test_a_second_hello_is_refused(browse):
    browser = await browse()
    await browser.hello()
    assert (await browser.hello())["code"] == "already_open"


async def test_who_writes_too_fast_is_told_when_to_go_on(browse, monkeypatch):
    monkeypatch.setattr(session, "MESSAGES_PER_S", 0.01)  # a slow machine must not look like a slow writer
    browser = await browse()
    await browser.hello()
    for number in range(11):
        await browser.send("message", client_message_id=f"m{number}", text="again")
    error = await browser.hear("error")
    assert (error["code"], error["client_message_id"]) == ("too_fast", "m10")
    assert 0 < error["retry_after_s"] <= 100


async def test_a_tenant_without_quota_takes_no_messages(browse, monkeypatch):
    def refuse(**usage):
        raise QuotaSpent(QuotaState("message", 5, 5, timezone.now(), is_hard=True))

    monkeypatch.setattr(services, "reserving", refuse)
    browser = await browse()
    await browser.hello()
    await browser.send("message", client_message_id="m1", text="Hi")
    error = await browser.hear("error")
    assert (error["code"], error["client_message_id"]) == ("quota_spent", "m1")


async def test_a_stored_message_that_is_sent_again_is_confirmed_though_the_quota_is_spent(
    browse, monkeypatch
):
    browser = await browse()
    await browser.hello()
    await browser.send("message", client_message_id="m1", text="Hi")
    first = await browser.hear("ack")

    def refuse(**usage):
        raise QuotaSpent(QuotaState("message", 5, 5, timezone.now(), is_hard=True))

    monkeypatch.setattr(services, "reserving", refuse)
    await browser.send("message", client_message_id="m1", text="Hi")
    assert await browser.hear("ack") == first
    await browser.send("message", client_message_id="m2", text="More")
    assert (await browser.hear("error"))["code"] == "quota_spent"


async def test_a_lost_hint_is_made_good_by_the_heartbeat(browse, acme, monkeypatch):
    monkeypatch.setattr(session, "HEARTBEAT_S", 0.2)
    browser = await browse()
    welcome = await browser.hello()
    monkeypatch.setattr(sender, "send", lambda group, message: None)
    await reply(acme, welcome["conversation_id"], "one")
    await reply(acme, welcome["conversation_id"], "two")
    assert [(await browser.hear("message"))["text"] for _ in range(2)] == ["one", "two"]
    assert (await browser.hear("heartbeat"))["head_seq"] == 2


async def test_a_long_conversation_is_replayed_without_a_gap(browse, acme):
    browser = await browse()
    welcome = await browser.hello()
    for number in range(120):
        await reply(acme, welcome["conversation_id"], f"line {number}")
    fields = {name: welcome[name] for name in ("conversation_id", "session", "epoch")}
    late = await browse()
    assert (await late.hello(**fields, last_seq=7))["head_seq"] == 120
    assert [(await late.hear("message"))["seq"] for _ in range(113)] == list(range(8, 121))


async def test_a_copy_of_another_epoch_is_replaced(browse, acme):
    browser = await browse()
    welcome = await browser.hello()
    await browser.say("Hi")
    fields = {name: welcome[name] for name in ("conversation_id", "session")}
    again = await (await browse()).hello(**fields, last_seq=1, epoch="before the restore")
    assert (again["snapshot"], again["after_seq"]) == (True, 0)


async def test_tabs_share_a_conversation_and_tell_each_other_what_was_read(browse):
    first = await browse()
    welcome = await first.hello()
    second = await browse()
    await second.hello(conversation_id=welcome["conversation_id"], session=welcome["session"])
    await first.say("Hi")
    assert (await second.hear("message"))["text"] == "Hi"
    await first.send("read", seq=1)
    assert await second.hear("read") == {"type": "read", "author": "customer", "seq": 1}
    await first.send("typing")
    assert (await second.hear("typing"))["author"] == "customer"


async def test_deltas_are_passed_on_with_nothing_else(browse, acme):
    browser = await browse()
    welcome = await browser.hello()
    conversation_id = welcome["conversation_id"]
    delta = {"type": "delta", "reply_id": "r1", "offset": 0, "text": "With"}
    address = {"tenant_id": str(acme.id), "conversation_id": conversation_id, "run_id": "private"}
    sender.send(conversation_group(acme.id, UUID(conversation_id)), {**delta, **address})
    assert await browser.hear() == delta


async def test_an_escalation_shows(browse, acme):
    browser = await browse()
    welcome = await browser.hello()
    await browser.say("I want to complain")
    await in_thread(
        conversations.open_escalation,
        tenant=acme,
        conversation_id=UUID(welcome["conversation_id"]),
        run_id=None,
        reason="complaint",
        queue="support",
        effect_key="e1",
    )
    assert (await browser.hear("status"))["state"] == "escalated"


async def test_a_rating_is_kept(browse, acme):
    browser = await browse()
    welcome = await browser.hello()
    await browser.send("rating", score=4, comment="quick")
    assert (await browser.hear("status"))["rating"] == 4
    kept = await in_thread(
        session.conversations.get_conversation,
        tenant=acme,
        conversation_id=UUID(welcome["conversation_id"]),
    )
    assert (kept.rating, kept.rating_comment) == (4, "quick")


async def test_open_sockets_are_counted_by_tenant(browse, acme):
    gauge = websocket_connections_active.labels(str(acme.id))
    before = gauge._value.get()
    browser = await browse()
    await browser.hello()
    assert gauge._value.get() == before + 1
    await browser.leave()
    assert gauge._value.get() == before

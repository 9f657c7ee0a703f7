"""The human inbox, as a browser gets it."""

import re
from uuid import uuid4

import pytest
from django.test import Client
from uuid_utils.compat import uuid7

from apps.conversations import selectors, services
from apps.conversations.contracts import CustomerInput
from apps.ingestion.services import add_document, process_document
from apps.resilience.errors import ConflictError, NotFoundError
from apps.tenants.contracts import Role
from tests.conversations.conftest import told
from tests.pages import log_in

INBOX = "/app/inbox/"
HTMX = {"HX-Request": "true"}
EVIL = "<script>alert(1)</script>"
ARTICLE = "Enamel pots survive a fall. If the rim chips, we replace the pot free of charge within two years."


@pytest.fixture
def ann(acme) -> Client:
    return log_in(acme, Role.AGENT)


@pytest.fixture
def bea(acme) -> Client:
    return log_in(acme, Role.ADMIN)


def escalate(tenant, text="My pot arrived broken!", name="Cleo", queue="default"):
    customer = CustomerInput(email=f"{uuid7()}@x.example", name=name)
    started = services.start_conversation(tenant=tenant, channel="widget", text=text, customer=customer)
    return services.open_escalation(
        tenant=tenant, conversation_id=started.conversation.id, reason="complaint with confidence 0.93",
        effect_key=str(uuid4()), queue=queue,
    )  # fmt: skip


def act(client, called, what, /, status=200, **fields):
    answered = client.post(f"{INBOX}{called.id}/{what}/", fields, headers=HTMX)
    assert answered.status_code == status, answered.content.decode()[:500]
    return answered.content.decode()


def said(tenant, called):
    messages = selectors.list_messages(tenant=tenant, conversation_id=called.conversation_id)
    return [(message.author.value, message.text) for message in messages]


def test_the_queue_shows_who_waits_and_whose_it_is(acme, ann, bea):
    assert "Nobody waits" in ann.get(INBOX).content.decode()
    first, second = escalate(acme, name=EVIL), escalate(acme, name="Dan", queue="high_priority")
    page = ann.get(INBOX).content.decode()
    assert page.index(f"q-{first.id}") < page.index(f"q-{second.id}")
    assert EVIL not in page
    act(ann, first, "claim")
    assert "yours" in ann.get(INBOX, {"show": "mine"}).content.decode()
    assert f"q-{second.id}" not in ann.get(INBOX, {"show": "mine"}).content.decode()
    unclaimed = bea.get(INBOX, {"show": "unclaimed"}, headers=HTMX).content.decode()
    assert f"q-{first.id}" not in unclaimed
    assert "<html" not in unclaimed
    assert ">Agent<" in bea.get(INBOX).content.decode()  # the holder's name
    assert f"q-{first.id}" not in ann.get(INBOX, {"queue": "high_priority"}).content.decode()


def test_from_claim_to_resolve_and_undo(acme, ann):
    called = escalate(acme)
    act(ann, called, "claim")
    key = str(uuid4())
    for _ in range(2):  # a second click
        assert "you have it" in act(ann, called, "replies", text="I am sorry.", key=key)
    assert said(acme, called)[1:] == [("agent", "I am sorry.")]
    assert "resolved" in act(ann, called, "resolve", resolution="New pot sent")
    kept = selectors.get_escalation(tenant=acme, escalation_id=called.id)
    assert (kept.status, kept.resolution) == ("resolved", "New pot sent")
    assert "you have it" in act(ann, called, "reopen")
    kept = selectors.get_escalation(tenant=acme, escalation_id=called.id)
    assert (kept.status, kept.resolution, kept.ended_at) == ("claimed", "", None)
    assert len(told(acme, "agent.escalation.reopened")) == 1
    act(ann, called, "release")
    conversation = selectors.get_conversation(tenant=acme, conversation_id=called.conversation_id)
    assert (conversation.status, conversation.agent) == ("escalated", "")


def test_a_colleague_takes_over_knowingly_and_gives_it_back(acme, globex, ann, bea):
    called = escalate(acme)
    act(ann, called, "claim")
    holder = selectors.get_escalation(tenant=acme, escalation_id=called.id).claimed_by
    for wrong in ("", "user:x", "api_key:1"):
        act(bea, called, "take-over", 409, holder=wrong)
    taken = act(bea, called, "take-over", holder=holder)
    assert "You took this over from Agent." in taken
    assert "Admin" in act(ann, called, "claim", 409)
    assert "Admin has it" in act(ann, called, "replies", 409, text="Hi", key=str(uuid4()))
    act(bea, called, "replies", text="I am Bea.", key=str(uuid4()))
    assert said(acme, called)[1:] == [("agent", "I am Bea.")]
    undo = re.search(r'hx-post="([^"]+give-back[^"]+)"', taken)[1]
    for to in ("", "user:x", f"user:{uuid4()}", "api_key:1"):
        assert bea.post(f"{INBOX}{called.id}/give-back/", query_params={"to": to}).status_code == 404
    assert "Agent has this again." in bea.post(undo, headers=HTMX).content.decode()
    act(ann, called, "replies", text="I am Ann.", key=str(uuid4()))
    assert bea.post(undo, headers=HTMX).status_code == 200  # again changes nothing
    assert log_in(globex).post(undo, headers=HTMX).status_code == 404


def test_what_the_customer_wrote_meanwhile_is_seen_before_an_answer_goes_out(acme, ann):
    called = escalate(acme)
    act(ann, called, "claim")
    services.receive_message(tenant=acme, conversation_id=called.conversation_id, text="It was my fault!")
    key = str(uuid4())
    refused = act(ann, called, "replies", 422, text="We are sorry.", key=key, seen=1)
    assert "It was my fault!" in refused
    assert "We are sorry." in refused
    seen = re.search(r'name="seen" value="(\d+)"', refused)[1]
    for _ in range(2):
        act(ann, called, "replies", text="No harm done.", key=key, seen=seen)
    services.receive_message(tenant=acme, conversation_id=called.conversation_id, text="Thanks")
    act(ann, called, "replies", text="No harm done.", key=key, seen=seen)  # was sent already
    assert [text for author, text in said(acme, called) if author == "agent"] == ["No harm done."]


def test_the_ai_goes_on_where_a_person_hands_back(acme, ann, bea):
    called = escalate(acme)
    act(bea, called, "hand-back", 409, text="Bye", key=str(uuid4()))
    act(ann, called, "claim")
    assert "errorlist" in act(ann, called, "hand-back", 422, text=" ", key=str(uuid4()))
    key = str(uuid4())
    for _ in range(2):
        assert "Handed back to the AI." in act(ann, called, "hand-back", text="The AI goes on.", key=key)
    assert said(acme, called)[1:] == [("agent", "The AI goes on.")]
    again = services.receive_message(tenant=acme, conversation_id=called.conversation_id, text="Fine")
    assert again.run_id is not None
    assert "you have it" in act(ann, called, "reopen")
    silent = services.receive_message(tenant=acme, conversation_id=called.conversation_id, text="Hello?")
    assert silent.run_id is None
    assert "wrote last" in ann.get(INBOX).content.decode()


def test_without_htmx_the_forms_work_too(acme, ann):
    called = escalate(acme)
    answered = ann.post(f"{INBOX}{called.id}/claim/")
    assert (answered.status_code, answered["Location"]) == (302, f"{INBOX}{called.id}/")
    page = ann.get(answered["Location"]).content.decode()
    assert "you have it" in page
    refused = ann.post(f"{INBOX}{called.id}/replies/", {"text": "", "key": str(uuid4())})
    assert refused.status_code == 422
    assert "<html" in refused.content.decode()


def test_who_does_not_have_it_is_told_who_does(acme, ann, bea):
    called = escalate(acme)
    assert "nobody has it" in act(bea, called, "replies", 409, text="Hi", key=str(uuid4()))
    act(ann, called, "claim")
    for what, fields in (
        ("claim", {}), ("replies", {"text": "Hi", "key": str(uuid4())}), ("release", {}),
        ("resolve", {"resolution": "x"}),
    ):  # fmt: skip
        refused = act(bea, called, what, 409, **fields)
        assert "Agent" in refused
        assert "user:" not in refused
    assert said(acme, called) == [("customer", "My pot arrived broken!")]
    page = bea.get(f"{INBOX}{called.id}/", headers=HTMX).content.decode()
    assert "Agent has it" in page
    assert "disabled" in page


@pytest.mark.parametrize("text", ["", "   ", "x" * 8001, "a\x00b"])
@pytest.mark.parametrize("what", ["replies", "notes"])
def test_wrong_words_are_told_at_the_field(acme, ann, what, text):
    called = escalate(acme)
    act(ann, called, "claim")
    assert "errorlist" in act(ann, called, what, 422, text=text, key=str(uuid4()))
    assert len(said(acme, called)) == 1
    assert "private note" not in ann.get(f"{INBOX}{called.id}/", headers=HTMX).content.decode()


def test_a_reply_needs_its_key(acme, ann):
    called = escalate(acme)
    act(ann, called, "claim")
    act(ann, called, "replies", 422, text="Hello", key="not one")
    assert len(said(acme, called)) == 1


def test_notes_are_between_colleagues(acme, ann, bea):
    called = escalate(acme)
    note = f"Third time {EVIL}"
    act(ann, called, "notes", text=note)
    assert "Third time &lt;script&gt;" in bea.get(f"{INBOX}{called.id}/").content.decode()
    assert "Third time" in bea.get(f"/app/conversations/{called.conversation_id}/").content.decode()
    assert said(acme, called) == [("customer", "My pot arrived broken!")]
    (event,) = told(acme, "agent.note.added")
    assert "Third time" not in str(event)


def test_news_are_what_came_since(acme, ann):
    called = escalate(acme)
    url = f"{INBOX}{called.id}/news/"
    assert "arrived broken" not in ann.get(url, {"after": 1}, headers=HTMX).content.decode()
    services.receive_message(tenant=acme, conversation_id=called.conversation_id, text="Hello?")
    act(ann, called, "notes", text="A first note")
    news = ann.get(url, {"after": 1}, headers=HTMX).content.decode()
    assert news.index("Hello?") < news.index("A first note")
    assert "hx-swap-oob" in news
    note = re.search(r'data-note="([^"]+)"', news)[1]
    assert "A first note" not in ann.get(url, {"after": 2, "after_note": note}).content.decode()
    for query in ({"after": "x", "after_note": "y"}, {"after": "9" * 99}, {"after_note": "\\"}):
        assert ann.get(url, query).status_code == 200


def test_an_answer_is_suggested_from_the_knowledge(acme, ann):
    document = add_document(tenant=acme, title="Enamel care", text=ARTICLE)
    process_document(tenant=acme, document_id=document.id)
    called = escalate(acme, "The rim of my enamel pot chips, do you replace it free of charge?")
    shown = act(ann, called, "suggestion")
    assert "replace the pot free of charge" in shown
    assert "Enamel care" in shown
    assert "[1]" not in shown
    kept = selectors.get_escalation(tenant=acme, escalation_id=called.id).suggested_answer
    assert "free of charge" in kept
    again = act(ann, called, "suggestion")
    assert "free of charge" in again
    assert f"/app/knowledge/documents/{document.id}/" in again


def test_without_knowledge_nothing_is_suggested(acme, ann):
    assert "holds nothing" in act(ann, escalate(acme), "suggestion")


def test_the_inbox_asks_the_same_whatever_waits(acme, ann, django_assert_max_num_queries):
    for n in range(8):
        called = escalate(acme, name=f"N{n}")
        act(ann, called, "notes", text="x")
        if n % 2:
            act(ann, called, "claim")
    with django_assert_max_num_queries(9):
        ann.get(INBOX)
    with django_assert_max_num_queries(16):
        ann.get(f"{INBOX}{called.id}/")
    with django_assert_max_num_queries(11):
        ann.get(f"{INBOX}{called.id}/news/", {"after": 1})


def test_a_viewer_only_looks(acme):
    called = escalate(acme)
    page = log_in(acme, Role.VIEWER).get(f"{INBOX}{called.id}/").content.decode()
    assert "arrived broken" in page
    for what in ("claim", "reply", "note", "resolve-dialog"):
        assert f'id="{what}"' not in page


def test_canned_replies_are_kept_changed_and_brought_back(acme, globex, ann):
    url = f"{INBOX}canned/"
    assert ann.post(url, {"shortcut": "Hello", "text": "Dear {customer_name},"}).status_code == 302
    (reply,) = selectors.list_canned_replies(tenant=acme)
    assert (reply.shortcut, reply.text) == ("hello", "Dear {customer_name},")
    assert selectors.list_canned_replies(tenant=globex) == []
    page = ann.get(f"{INBOX}{escalate(acme, name='Cleo').id}/").content.decode()
    assert 'data-canned="Dear Cleo,"' in page
    unknown = ann.post(url, {"shortcut": "oops", "text": "Dear {customer},"})
    assert (unknown.status_code, "{customer} is not known" in unknown.content.decode()) == (422, True)
    taken = ann.post(url, {"shortcut": "hello", "text": "again"})
    assert (taken.status_code, "exists already" in taken.content.decode()) == (422, True)
    for wrong in ("", "a b", "/x", "é", "x" * 41, "\x00"):
        assert ann.post(url, {"shortcut": wrong, "text": "t"}).status_code == 422, wrong
    assert ann.post(f"{url}{reply.id}/", {"shortcut": "hi", "text": "Hi!"}).status_code == 302
    assert ann.post(f"{url}{reply.id}/delete/").status_code == 302
    assert selectors.list_canned_replies(tenant=acme) == []
    ann.post(f"{url}restore/")
    (back,) = selectors.list_canned_replies(tenant=acme)
    assert (back.shortcut, back.text) == ("hi", "Hi!")
    assert ann.post(f"{url}restore/").status_code == 302


def test_another_tenant_reaches_nothing(acme, globex):
    called = escalate(acme)
    reply = services.save_canned_reply(tenant=acme, shortcut="x", text="y")
    mine = {"tenant": globex}
    attempts = [
        lambda: services.reopen_escalation(**mine, escalation_id=called.id, agent="user:x"),
        lambda: services.add_note(**mine, conversation_id=called.conversation_id, author="user:x", text="x"),
        lambda: services.suggest_answer(**mine, escalation_id=called.id),
        lambda: services.delete_canned_reply(**mine, reply_id=reply.id),
        lambda: services.save_canned_reply(**mine, reply_id=reply.id, shortcut="z", text="z"),
        lambda: services.correct_intent(
            **mine, conversation_id=called.conversation_id, seq=1, intent="faq", actor="user:x"
        ),
        lambda: selectors.get_queue_item(**mine, escalation_id=called.id),
    ]
    for attempt in attempts:
        with pytest.raises(NotFoundError):
            attempt()
    page = selectors.list_queue(tenant=globex, show="all", agent="user:x")
    assert page.items == []


def test_what_cannot_be_reopened_is_told(acme):
    called = escalate(acme)
    services.cancel_escalation(tenant=acme, escalation_id=called.id)
    with pytest.raises(ConflictError, match="cannot be reopened"):
        services.reopen_escalation(tenant=acme, escalation_id=called.id, agent="user:x")

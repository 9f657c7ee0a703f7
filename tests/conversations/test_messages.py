import pytest
from django.db import IntegrityError, transaction
from uuid_utils.compat import uuid7

from apps.billing.services import reserving
from apps.conversations import selectors, services
from apps.conversations.models import Message
from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from apps.tenants.context import in_tenant, write_waiting
from tests.conversations.conftest import told


def say(tenant, conversation, text="Where is my order?", **options):
    return services.receive_message(tenant=tenant, conversation_id=conversation.id, text=text, **options)


def reply(tenant, conversation, key="r1", **options):
    return services.post_reply(
        tenant=tenant, conversation_id=conversation.id, text="Here.", reply_key=key, **options
    )


def test_a_message_is_numbered_told_and_gets_a_run(acme, conversation):
    received = say(acme, conversation, "  Where is my order?\nIt is late. ", client_message_id="c1")
    message = received.message
    assert (message.seq, message.author, message.client_message_id) == (1, "customer", "c1")
    assert message.text == "Where is my order?\nIt is late."
    assert received.is_new
    assert received.run_id == message.run_id is not None
    (event,) = told(acme, "agent.message.received")
    assert event["conversation_id"] == str(conversation.id)
    assert event["run_id"] == str(received.run_id)
    assert event["data"] == {
        "message_id": str(message.id),
        "seq": 1,
        "text": message.text,
        "channel": "widget",
        "customer_id": str(conversation.customer_id),
        "run_inline": False,
        "workflow": None,
    }
    (usage,) = told(acme, "billing.usage.recorded")
    assert (usage["data"]["kind"], usage["data"]["source_id"]) == ("message", str(message.id))
    kept = selectors.get_conversation(tenant=acme, conversation_id=conversation.id)
    assert (kept.last_seq, kept.subject) == (1, "Where is my order?")
    assert kept.last_message_at is not None


def test_the_same_message_again_changes_nothing(acme, conversation):
    first = say(acme, conversation, client_message_id="c1")
    services.close_conversation(tenant=acme, conversation_id=conversation.id, actor="user:1")
    before = selectors.get_conversation(tenant=acme, conversation_id=conversation.id)
    again = say(acme, conversation, "changed", client_message_id="c1")
    assert (again.message, again.run_id, again.is_new) == (first.message, first.run_id, False)
    assert selectors.get_conversation(tenant=acme, conversation_id=conversation.id) == before
    assert len(told(acme, "agent.message.received")) == len(told(acme, "billing.usage.recorded")) == 1
    assert say(acme, conversation, client_message_id="c2").message.seq == 2


def test_messages_without_an_id_of_their_own_are_all_kept(acme, conversation):
    seqs = [say(acme, conversation, client_message_id=given).message.seq for given in (None, "", None)]
    assert seqs == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "empty"), (" \n\t", "empty"), ("x" * 8001, "8,001 characters; shorten it to 8,000"),
     ("a\x00b", "NUL"), ("a\udc00b", "NUL")],
)  # fmt: skip
def test_text_that_cannot_be_is_refused_and_changes_nothing(acme, conversation, text, words):
    with pytest.raises(InvalidInput, match=words):
        say(acme, conversation, text)
    assert selectors.get_conversation(tenant=acme, conversation_id=conversation.id).last_seq == 0


def test_text_of_the_full_length_is_kept(acme, conversation):
    assert len(say(acme, conversation, "é" * 8000).message.text) == 8000
    with pytest.raises(InvalidInput, match="client_message_id"):
        say(acme, conversation, client_message_id="x" * 101)


def test_only_the_tenants_own_conversations_are_written_to(acme, globex, conversation):
    for tenant, conversation_id in ((globex, conversation.id), (acme, uuid7())):
        with pytest.raises(NotFoundError):
            services.receive_message(tenant=tenant, conversation_id=conversation_id, text="Hi")
        with pytest.raises(NotFoundError):
            services.post_reply(tenant=tenant, conversation_id=conversation_id, text="Hi", reply_key="k")
    assert selectors.list_messages(tenant=globex, conversation_id=conversation.id) == []


def test_a_failing_handler_takes_the_message_with_it(acme, conversation, monkeypatch):
    def fail(**_):
        raise RuntimeError("no")

    monkeypatch.setattr("apps.conversations.services.messages.record_usage", fail)
    with pytest.raises(RuntimeError), transaction.atomic():
        say(acme, conversation)
    assert selectors.list_messages(tenant=acme, conversation_id=conversation.id) == []
    assert selectors.get_conversation(tenant=acme, conversation_id=conversation.id).last_seq == 0


def test_an_answer_is_posted_once_for_its_key(acme, conversation):
    asked = say(acme, conversation)
    sources, receipt = [{"title": "Shipping"}], {"intent": "order_status"}
    said = reply(acme, conversation, run_id=asked.run_id, sources=sources, receipt=receipt)
    assert (said.seq, said.author, said.sources, said.receipt) == (2, "ai", sources, receipt)
    assert reply(acme, conversation, run_id=asked.run_id) == said
    assert selectors.get_conversation(tenant=acme, conversation_id=conversation.id).last_seq == 2
    (event,) = told(acme, "agent.message.sent")
    assert event["data"] == {"message_id": str(said.id), "seq": 2, "author": "ai"}
    assert selectors.find_reply(tenant=acme, message=asked.message) == said
    assert reply(acme, conversation, "r2").seq == 3


def test_an_answer_loses_what_cannot_be_stored_but_not_its_place(acme, conversation):
    posted = services.post_reply(tenant=acme, conversation_id=conversation.id, text=" a\x00b ", reply_key="k")
    assert posted.text == "ab"
    with pytest.raises(InvalidInput, match="needs text"):
        services.post_reply(tenant=acme, conversation_id=conversation.id, text="\x00", reply_key="k2")
    other = services.open_conversation(tenant=acme, channel="api")
    with pytest.raises(ConflictError, match="another conversation"), transaction.atomic():
        reply(acme, other, "k")


def test_messages_are_read_in_order_from_where_one_stopped(acme, conversation):
    for n in range(5):
        say(acme, conversation, f"m{n}")
    read = selectors.list_messages(tenant=acme, conversation_id=conversation.id, after_seq=1, limit=3)
    assert [(message.seq, message.text) for message in read] == [(2, "m1"), (3, "m2"), (4, "m3")]
    turns = selectors.list_recent_turns(tenant=acme, conversation_id=conversation.id, limit=2)
    assert [message.text for message in turns] == ["m3", "m4"]


def test_a_customers_message_reopens_what_was_closed(acme, conversation):
    say(acme, conversation)
    services.close_conversation(tenant=acme, conversation_id=conversation.id, actor="user:1")
    assert say(acme, conversation).run_id is not None
    kept = selectors.get_conversation(tenant=acme, conversation_id=conversation.id)
    assert (kept.status, kept.closed_at) == ("open", None)
    assert len(told(acme, "agent.conversation.reopened")) == 1


def test_an_answer_leaves_a_closed_conversation_closed(acme, conversation):
    services.close_conversation(tenant=acme, conversation_id=conversation.id, actor="user:1")
    reply(acme, conversation)
    kept = selectors.get_conversation(tenant=acme, conversation_id=conversation.id)
    assert (kept.status, kept.last_seq) == ("closed", 1)
    assert kept.closed_at is not None


def test_the_database_refuses_a_second_message_in_one_place(acme, conversation):
    say(acme, conversation, client_message_id="c1")
    for same in ({"seq": 1}, {"seq": 2, "client_message_id": "c1"}):
        with in_tenant(acme), pytest.raises(IntegrityError), transaction.atomic():
            Message.objects.create(conversation_id=conversation.id, author="ai", text="x", **same)


def test_a_message_takes_few_queries(acme, conversation, django_assert_num_queries, monkeypatch):
    # What handlers add, such as the run, is pinned where they live.
    monkeypatch.setattr("apps.events.services._handlers", dict)
    with in_tenant(acme):
        say(acme, conversation)  # reads the plan
        # place, said before?, message; outbox with the usage; quota: lock, epoch, count
        with django_assert_num_queries(7):
            say(acme, conversation, client_message_id="c1")
        # place, message; outbox with the usage; quota: whether the reservation holds
        with reserving(tenant=acme, kind="message"), django_assert_num_queries(4):
            say(acme, conversation)
        with django_assert_num_queries(3):  # place, said before?, place given back
            say(acme, conversation, client_message_id="c1")
        with django_assert_num_queries(3):  # place, message, outbox
            reply(acme, conversation)
            write_waiting()

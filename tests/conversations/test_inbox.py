import pytest
from django.db import transaction
from uuid_utils.compat import uuid7

from apps.conversations import selectors, services
from apps.conversations.contracts import CustomerInput
from apps.crm.services import delete_customer
from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from tests.conversations.conftest import told

ANN, BEN = "user:ann", "user:ben"


def look(tenant, conversation):
    return selectors.get_conversation(tenant=tenant, conversation_id=conversation.id)


def say(tenant, conversation):
    return services.receive_message(tenant=tenant, conversation_id=conversation.id, text="Hello?")


def escalate(tenant, conversation, key="e1", **options):
    return services.open_escalation(
        tenant=tenant, conversation_id=conversation.id, reason="complaint", effect_key=key, **options
    )


def take_over(tenant, conversation, agent=ANN):
    return services.take_over_conversation(tenant=tenant, conversation_id=conversation.id, agent=agent)


def release(tenant, conversation):
    return services.release_conversation(tenant=tenant, conversation_id=conversation.id)


def test_a_conversation_is_opened_for_a_known_customer(acme, conversation):
    assert (conversation.channel, conversation.status, conversation.visitor_id) == ("widget", "open", "v1")
    other = services.open_conversation(
        tenant=acme, channel="api", customer=CustomerInput(email="ANN@example.com")
    )
    assert other.customer_id == conversation.customer_id
    assert (
        services.open_conversation(tenant=acme, channel="api", customer=CustomerInput()).customer_id is None
    )
    assert len(told(acme, "agent.conversation.opened")) == 3
    with pytest.raises(InvalidInput, match="Give one of widget"):
        services.open_conversation(tenant=acme, channel="fax")


def test_a_conversation_outlives_its_customer(acme, conversation):
    delete_customer(tenant=acme, customer_id=conversation.customer_id)
    assert look(acme, conversation).customer_id is None


def test_a_shut_channel_takes_no_conversation(acme):
    services.save_channel(tenant=acme, kind="api", name="Shop", is_active=False)
    with pytest.raises(ConflictError, match="switched off"):
        services.open_conversation(tenant=acme, channel="api")
    services.save_channel(tenant=acme, kind="api", name="App", settings={"colour": "blue"})
    services.open_conversation(tenant=acme, channel="api")
    channels = selectors.list_channels(tenant=acme)
    assert [(channel.name, channel.is_active) for channel in channels] == [("App", True), ("Shop", False)]
    with pytest.raises(InvalidInput, match="settings"):
        services.save_channel(tenant=acme, kind="api", name="App", settings={"a": "\x00"})


def test_a_start_is_all_or_nothing_and_once_for_its_key(acme):
    with pytest.raises(InvalidInput):
        services.start_conversation(tenant=acme, channel="api", text=" ", customer=CustomerInput(name="A"))
    assert told(acme, "agent.conversation.opened") == []
    started = services.start_conversation(tenant=acme, channel="api", text="Hi", open_key="k")
    assert started.conversation == look(acme, started.conversation)
    again = services.start_conversation(tenant=acme, channel="api", text="Hi", open_key="k")
    assert again.conversation == started.conversation
    assert (again.received.message, again.received.is_new) == (started.received.message, False)


def test_while_a_person_has_a_conversation_the_ai_is_silent(acme, conversation):
    assert take_over(acme, conversation).agent == ANN
    assert take_over(acme, conversation).status == "with_agent"
    assert len(told(acme, "agent.conversation.taken_over")) == 1
    received = say(acme, conversation)
    assert (received.run_id, received.message.run_id, received.is_new) == (None, None, True)
    assert told(acme, "agent.message.received")[0].get("run_id") is None
    with pytest.raises(ConflictError, match="user:ann has this conversation"):
        take_over(acme, conversation, BEN)
    assert release(acme, conversation).status == "open"
    assert release(acme, conversation).agent == ""
    assert len(told(acme, "agent.conversation.released")) == 1
    assert say(acme, conversation).run_id is not None


def test_only_who_has_a_conversation_answers_in_it(acme, conversation):
    def answer(agent):
        return services.send_agent_message(
            tenant=acme, conversation_id=conversation.id, agent=agent, text="I am on it.", reply_key="k"
        )

    with pytest.raises(ConflictError, match="now nobody has it"):
        answer(ANN)
    take_over(acme, conversation)
    with pytest.raises(ConflictError, match="now user:ann has it"):
        answer(BEN)
    said = answer(ANN)
    assert (said.author, said.seq) == ("agent", 1)
    assert answer(ANN) == said
    assert told(acme, "agent.message.sent")[0]["data"]["author"] == "agent"


def test_a_call_for_a_person_waits_while_the_ai_still_answers(acme, conversation):
    run_id = uuid7()
    called = escalate(acme, conversation, queue="high_priority", run_id=run_id, suggested_answer="Sorry!")
    assert (called.status, called.queue, called.suggested_answer) == ("open", "high_priority", "Sorry!")
    assert look(acme, conversation).status == "escalated"
    assert say(acme, conversation).run_id is not None
    (event,) = told(acme, "agent.escalation.opened")
    assert event["run_id"] == str(run_id)
    assert event["data"] == {
        "escalation_id": str(called.id), "reason": "complaint", "queue": "high_priority",
    }  # fmt: skip


def test_calls_are_made_once_and_later_ones_join(acme, conversation):
    first = escalate(acme, conversation)
    assert escalate(acme, conversation) == first
    assert escalate(acme, conversation, "e2").id == first.id
    services.resolve_escalation(tenant=acme, escalation_id=first.id, agent=ANN)
    for key in ("e1", "e2"):  # a repetition long after is still the same call
        assert (escalate(acme, conversation, key).id, look(acme, conversation).status) == (first.id, "open")
    second = escalate(acme, conversation, "e3")
    assert second.id != first.id
    other = services.open_conversation(tenant=acme, channel="api")
    with pytest.raises(ConflictError, match="another conversation"):
        escalate(acme, other)
    assert len(told(acme, "agent.escalation.opened")) == 2


def test_claimed_then_resolved(acme, conversation):
    called = escalate(acme, conversation)
    claimed = services.claim_escalation(tenant=acme, escalation_id=called.id, agent=ANN)
    assert (claimed.status, claimed.claimed_by) == ("claimed", ANN)
    assert services.claim_escalation(tenant=acme, escalation_id=called.id, agent=ANN) == claimed
    assert (look(acme, conversation).status, look(acme, conversation).agent) == ("with_agent", ANN)
    with pytest.raises(ConflictError, match="claimed by user:ann"):
        services.claim_escalation(tenant=acme, escalation_id=called.id, agent=BEN)
    done = services.resolve_escalation(tenant=acme, escalation_id=called.id, agent=ANN, resolution="Refunded")
    assert (done.status, done.resolution) == ("resolved", "Refunded")
    assert services.resolve_escalation(tenant=acme, escalation_id=called.id, agent=BEN) == done
    assert (look(acme, conversation).status, look(acme, conversation).agent) == ("open", "")
    (event,) = told(acme, "agent.escalation.resolved")
    assert (event["data"]["resolved_by"], event["data"]["resolution"]) == (ANN, "Refunded")
    with pytest.raises(ConflictError, match="is resolved"):
        services.claim_escalation(tenant=acme, escalation_id=called.id, agent=ANN)


def test_taking_over_claims_what_waits_and_releasing_puts_it_back(acme, conversation):
    called = escalate(acme, conversation)
    take_over(acme, conversation)
    assert selectors.get_escalation(tenant=acme, escalation_id=called.id).claimed_by == ANN
    assert release(acme, conversation).status == "escalated"
    waiting = selectors.get_escalation(tenant=acme, escalation_id=called.id)
    assert (waiting.status, waiting.claimed_by, waiting.claimed_at) == ("open", "", None)
    assert services.claim_escalation(tenant=acme, escalation_id=called.id, agent=BEN).claimed_by == BEN


def test_a_call_while_a_person_is_there_is_theirs_at_once(acme, conversation):
    take_over(acme, conversation)
    called = escalate(acme, conversation)
    assert (called.status, called.claimed_by) == ("claimed", ANN)
    assert look(acme, conversation).status == "with_agent"


def test_a_call_is_taken_back(acme, conversation):
    called = escalate(acme, conversation)
    cancelled = services.cancel_escalation(tenant=acme, escalation_id=called.id, reason="undone")
    assert (cancelled.status, look(acme, conversation).status) == ("cancelled", "open")
    assert services.cancel_escalation(tenant=acme, escalation_id=called.id) == cancelled
    assert len(told(acme, "agent.escalation.cancelled")) == 1
    with pytest.raises(ConflictError, match="nothing to resolve"):
        services.resolve_escalation(tenant=acme, escalation_id=called.id, agent=ANN)


def test_taking_a_call_back_does_not_send_a_person_away(acme, conversation):
    called = escalate(acme, conversation)
    services.claim_escalation(tenant=acme, escalation_id=called.id, agent=ANN)
    services.cancel_escalation(tenant=acme, escalation_id=called.id)
    assert look(acme, conversation).agent == ANN


def test_closing_resolves_what_waits(acme, conversation):
    called = escalate(acme, conversation)
    take_over(acme, conversation)
    closed = services.close_conversation(tenant=acme, conversation_id=conversation.id, actor=ANN)
    assert (closed.status, closed.agent) == ("closed", "")
    assert closed.closed_at is not None
    assert selectors.get_escalation(tenant=acme, escalation_id=called.id).status == "resolved"
    assert services.close_conversation(tenant=acme, conversation_id=conversation.id, actor=ANN) == closed
    assert len(told(acme, "agent.conversation.closed")) == 1
    assert take_over(acme, conversation).closed_at is None


def test_a_rating_is_kept_and_may_change(acme, conversation):
    for score in (0, 6, True, 4.5):
        with pytest.raises(InvalidInput, match="from 1"):
            services.rate_conversation(tenant=acme, conversation_id=conversation.id, score=score)
    rated = services.rate_conversation(
        tenant=acme, conversation_id=conversation.id, score=4, comment=" Good "
    )
    assert (rated.rating, rated.rating_comment) == (4, "Good")
    services.rate_conversation(tenant=acme, conversation_id=conversation.id, score=4, comment="Good")
    services.rate_conversation(tenant=acme, conversation_id=conversation.id, score=5)
    scores = [event["data"] for event in told(acme, "agent.conversation.rated")]
    assert scores == [{"score": 4, "comment": "Good"}, {"score": 5, "comment": ""}]


def test_another_tenant_reaches_nothing(acme, globex, conversation):
    called = escalate(acme, conversation)
    attempts = [
        lambda: look(globex, conversation),
        lambda: take_over(globex, conversation),
        lambda: release(globex, conversation),
        lambda: escalate(globex, conversation, "x"),
        lambda: services.close_conversation(tenant=globex, conversation_id=conversation.id, actor=ANN),
        lambda: services.rate_conversation(tenant=globex, conversation_id=conversation.id, score=1),
        lambda: selectors.get_escalation(tenant=globex, escalation_id=called.id),
        lambda: services.claim_escalation(tenant=globex, escalation_id=called.id, agent=ANN),
        lambda: services.resolve_escalation(tenant=globex, escalation_id=called.id, agent=ANN),
        lambda: services.cancel_escalation(tenant=globex, escalation_id=called.id),
    ]
    for attempt in attempts:
        with pytest.raises(NotFoundError), transaction.atomic():
            attempt()
    assert look(acme, conversation).status == "escalated"

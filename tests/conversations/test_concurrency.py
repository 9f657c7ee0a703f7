"""Many senders at once, each on a connection of its own."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from django.db import connection

from apps.conversations import selectors, services
from apps.conversations.models import Conversation
from apps.tenants.context import in_tenant
from tests.conversations.conftest import told

SENDERS = 8


def at_once(jobs, senders=SENDERS):
    """Run jobs on `senders` threads that start together, each with its own connection."""
    gate = threading.Barrier(senders)

    def run(share):
        gate.wait()
        try:
            return [job() for job in share]
        finally:
            connection.close()

    with ThreadPoolExecutor(senders) as pool:
        shares = pool.map(run, [jobs[start::senders] for start in range(senders)])
        return [outcome for share in shares for outcome in share]


def receiving(tenant, conversation, client_message_id):
    return lambda: services.receive_message(
        tenant=tenant,
        conversation_id=conversation.id,
        text="Hi",
        client_message_id=client_message_id,
    )


def answering(tenant, conversation, reply_key):
    return lambda: services.post_reply(
        tenant=tenant, conversation_id=conversation.id, text="Hello", reply_key=reply_key
    )


def test_places_are_gap_free_and_nothing_is_there_twice(live_db, acme):
    """Every message is sent three times and every answer posted twice, all mixed up."""
    conversation = services.open_conversation(tenant=acme, channel="api")
    jobs = [receiving(acme, conversation, f"c{n % 16}") for n in range(48)]
    jobs += [answering(acme, conversation, f"r{n % 8}") for n in range(16)]
    outcomes = at_once(jobs)
    kept = selectors.list_messages(tenant=acme, conversation_id=conversation.id)
    assert [message.seq for message in kept] == list(range(1, 25))
    assert {message.client_message_id for message in kept} - {None} == {f"c{n}" for n in range(16)}
    head = selectors.get_conversation(tenant=acme, conversation_id=conversation.id)
    assert head.last_seq == 24
    received = [outcome for outcome in outcomes if hasattr(outcome, "is_new")]
    assert Counter(outcome.is_new for outcome in received) == {True: 16, False: 32}
    by_client_id = {outcome.message.client_message_id: outcome.run_id for outcome in received}
    assert all(outcome.run_id == by_client_id[outcome.message.client_message_id] for outcome in received)
    assert len(told(acme, "agent.message.received")) == len(told(acme, "billing.usage.recorded")) == 16
    assert len(told(acme, "agent.message.sent")) == 8


def test_two_identical_messages_at_the_same_moment_are_one(live_db, acme):
    conversation = services.open_conversation(tenant=acme, channel="api")
    for n in range(10):
        first, second = at_once([receiving(acme, conversation, f"c{n}")] * 2, senders=2)
        assert first.message == second.message
        assert first.run_id == second.run_id
        assert {first.is_new, second.is_new} == {True, False}
        assert first.message.seq == n + 1


def test_two_identical_openings_at_the_same_moment_are_one(live_db, acme):
    def start():
        return services.start_conversation(tenant=acme, channel="api", text="Hi", open_key="key")

    started = at_once([start] * 4, senders=4)
    assert len({one.conversation.id for one in started}) == 1
    assert len({one.received.message.id for one in started}) == 1
    assert [one.received.is_new for one in started].count(True) == 1
    with in_tenant(acme):
        assert Conversation.objects.count() == 1


def test_one_agent_gets_what_two_claim(live_db, acme):
    conversation = services.open_conversation(tenant=acme, channel="api")
    escalation = services.open_escalation(
        tenant=acme, conversation_id=conversation.id, reason="angry", effect_key="e"
    )

    def claiming(agent):
        def claim():
            try:
                services.claim_escalation(tenant=acme, escalation_id=escalation.id, agent=agent)
            except services.escalations.ConflictError:
                return None
            return agent

        return claim

    winners = at_once([claiming(f"user:{n}") for n in range(4)], senders=4)
    (winner,) = [agent for agent in winners if agent]
    kept = selectors.get_conversation(tenant=acme, conversation_id=conversation.id)
    assert (kept.status, kept.agent) == ("with_agent", winner)


def test_calls_for_a_person_at_the_same_moment_are_one(live_db, acme):
    conversations = [services.open_conversation(tenant=acme, channel="api") for _ in range(10)]

    def calling(conversation, key):
        return lambda: services.open_escalation(
            tenant=acme, conversation_id=conversation.id, reason="angry", effect_key=f"{conversation.id}{key}"
        )

    jobs = [calling(conversation, n % 2) for conversation in conversations for n in range(6)]
    assert len({escalation.id for escalation in at_once(jobs, senders=6)}) == 10
    assert len(told(acme, "agent.escalation.opened")) == 10


def test_a_message_sees_what_it_waited_for(live_db, acme):
    """A message that waits for a closing reopens the conversation and tells so."""
    conversation = services.open_conversation(tenant=acme, channel="api")
    with ThreadPoolExecutor(1) as pool:
        with in_tenant(acme):
            services.close_conversation(tenant=acme, conversation_id=conversation.id, actor="user:1")
            waiting = pool.submit(at_once, [receiving(acme, conversation, "c1")], 1)
            wait_until(is_somebody_waiting)
        waiting.result()
    assert selectors.get_conversation(tenant=acme, conversation_id=conversation.id).status == "open"
    assert len(told(acme, "agent.conversation.reopened")) == 1


def wait_until(is_so, timeout_s=10.0) -> None:
    ends_at = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < ends_at, "nobody waits"
        time.sleep(0.01)


def is_somebody_waiting() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return cursor.fetchone()[0] > 0

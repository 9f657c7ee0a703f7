"""What a transaction puts off until its end is written with it, or not at all."""

import pytest
from django.db import IntegrityError, transaction
from uuid_utils.compat import uuid7

from apps.conversations.models import Conversation
from apps.events import services
from apps.events.models import OutboxEvent
from apps.tenants.context import in_tenant, write_later, write_waiting
from tests.events.test_event_path import SomethingHappened

INSERT = """
INSERT INTO conversations_conversation
  (id, created_at, channel, status, visitor_id, subject, last_seq, epoch, agent, rating_comment)
VALUES (%s, now(), 'api', 'open', '', '', 0, %s, '', '')
"""


def publish(tenant, number: int) -> None:
    services.publish(SomethingHappened(tenant_id=tenant.id, number=number))


def told(tenant) -> list[int]:
    with in_tenant(tenant):
        rows = OutboxEvent.objects.filter(type=SomethingHappened.type).order_by("position")
        return [row.envelope["data"]["number"] for row in rows]


def test_events_wait_for_the_commit_and_keep_their_order(live_db, acme, globex):
    with in_tenant(acme):
        publish(acme, 1)
        publish(acme, 2)
        assert not OutboxEvent.objects.filter(type=SomethingHappened.type).exists()
        publish(acme, 3)
    assert told(acme) == [1, 2, 3]
    assert told(globex) == []


def test_whoever_has_to_read_them_has_them_written(live_db, acme):
    with in_tenant(acme):
        publish(acme, 1)
        write_waiting()
        assert OutboxEvent.objects.filter(type=SomethingHappened.type).count() == 1
    assert told(acme) == [1]


def test_a_savepoint_that_is_rolled_back_takes_its_own_with_it(live_db, acme):
    with in_tenant(acme):
        publish(acme, 1)
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            publish(acme, 2)
            write_later(INSERT, [uuid7(), uuid7()])
            raise ZeroDivisionError
        with transaction.atomic():
            publish(acme, 3)
    with in_tenant(acme):
        assert not Conversation.objects.exists()
    assert told(acme) == [1, 3]


def test_what_was_put_off_is_there_for_the_next_statement(live_db, acme, globex):
    made = uuid7()
    with in_tenant(acme):
        write_later(INSERT, [made, uuid7()])
        assert Conversation.objects.filter(id=made).exists()
    with in_tenant(globex):
        assert not Conversation.objects.exists()


def test_what_is_wrong_with_it_undoes_the_transaction(live_db, acme):
    made = uuid7()
    with pytest.raises(IntegrityError), in_tenant(acme):
        publish(acme, 1)
        write_later(INSERT, [made, uuid7()])
        write_later(INSERT, [made, uuid7()])
    with in_tenant(acme):
        assert not Conversation.objects.exists()
    assert told(acme) == []


def test_nothing_of_a_rolled_back_transaction_comes_up_in_the_next(live_db, acme):
    with pytest.raises(ZeroDivisionError), in_tenant(acme):
        publish(acme, 1)
        write_later(INSERT, [uuid7(), uuid7()])
        raise ZeroDivisionError
    with in_tenant(acme):
        assert not Conversation.objects.exists()
    assert told(acme) == []

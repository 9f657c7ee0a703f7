"""A message that reads like a sales lead is answered, and the lead is taken down beside it."""

import pytest

from apps.conversations.contracts import CustomerInput
from apps.conversations.selectors import list_messages
from apps.conversations.services import open_conversation, receive_message
from apps.crm.models import Lead
from apps.ingestion.services import add_document, process_document
from apps.orchestration.models import AgentRun
from apps.orchestration.services import execute_run
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef

WISH = "I would like to buy 200 lamps for our hotel, can you make me an offer?"


def converse(tenant: TenantRef, *texts: str, email: str | None = None) -> list[str]:
    """Say the texts one after the other, executing every run, and return what was answered."""
    customer = CustomerInput(name="Ada", email=email) if email else None
    talk = open_conversation(tenant=tenant, channel="api", customer=customer)
    for text in texts:
        receive_message(tenant=tenant, conversation_id=talk.id, text=text)
        for _ in range(2):  # the message's run, then what it started
            for run_id in due_runs(tenant):
                execute_run(tenant=tenant, run_id=run_id)
    messages = list_messages(tenant=tenant, conversation_id=talk.id)
    return [message.text for message in messages if message.author == "ai"]


def due_runs(tenant: TenantRef) -> list:
    with in_tenant(tenant):
        return list(AgentRun.objects.filter(finished_at=None).values_list("id", flat=True))


def leads(tenant: TenantRef) -> list[Lead]:
    with in_tenant(tenant):
        return list(Lead.objects.order_by("id"))


def test_a_known_customers_lead_is_stored_with_their_address(live_db, acme, globex):
    thanks, told = converse(acme, WISH, email="ada@hotel.example")
    assert thanks == "Thank you for your interest."
    assert "with our team" in told
    [lead] = leads(acme)
    assert (lead.email, lead.message) == ("ada@hotel.example", WISH)
    assert leads(globex) == []


def test_a_stranger_is_asked_for_an_address_and_nothing_is_stored(live_db, acme):
    replies = converse(acme, WISH)
    assert "e-mail address" in replies[-1]
    assert leads(acme) == []


def test_an_address_in_the_message_is_enough(live_db, acme):
    converse(acme, f"{WISH} Write to ada@hotel.example please.")
    assert [lead.email for lead in leads(acme)] == ["ada@hotel.example"]


@pytest.mark.parametrize("text", ["Where is my order 1042?", "How long does delivery take?"])
def test_other_messages_start_nothing_beside_their_answer(live_db, acme, text):
    converse(acme, text)
    with in_tenant(acme):
        assert AgentRun.objects.count() == 1


def test_what_the_workflow_has_no_step_for_is_answered_from_the_knowledge(live_db, acme, globex):
    text = "An order can be cancelled free of charge until we hand it to the carrier."
    document = add_document(tenant=acme, title="Cancelling an order", text=text)
    process_document(tenant=acme, document_id=document.id)
    [answer] = converse(acme, "I want to cancel my order, can I still do that?")
    assert "until we hand it to the carrier" in answer
    assert "[1]" in answer
    [unknown] = converse(globex, "I want to cancel my order, can I still do that?")
    assert "could not find" in unknown

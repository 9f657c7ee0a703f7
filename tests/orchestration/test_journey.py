"""A message through the whole engine, with every neighbour real."""

from apps.conversations import selectors as conversations
from apps.conversations.services import open_conversation, receive_message
from apps.ingestion.services import add_document, process_document
from apps.orchestration import selectors, services
from apps.orchestration.contracts import RunStatus, StepStatus

PARCELS = "Parcels are returned within 30 days. Put the slip on the parcel and bring it to any post office."


def say(tenant, text, conversation=None, **customer):
    from apps.conversations.contracts import CustomerInput

    if conversation is None:
        person = CustomerInput(**customer) if customer else None
        conversation = open_conversation(tenant=tenant, channel="api", customer=person).id
    received = receive_message(tenant=tenant, conversation_id=conversation, text=text, run_inline=True)
    services.execute_or_await(tenant=tenant, run_id=received.run_id, wait_s=10)
    run = selectors.get_run(tenant=tenant, run_id=received.run_id)
    messages = conversations.list_messages(tenant=tenant, conversation_id=conversation)
    return run, messages


def states(run):
    return {step.id: step.state for step in run.steps}


def test_a_question_is_answered_from_the_knowledge_with_its_receipt(acme) -> None:
    document = add_document(tenant=acme, title="Returns", text=PARCELS)
    process_document(tenant=acme, document_id=document.id)
    run, messages = say(acme, "How do I return a parcel?")
    assert run.status is RunStatus.COMPLETED, run
    assert [message.author for message in messages] == ["customer", "ai"]
    reply = messages[-1]
    assert "slip on the parcel" in reply.text or "30 days" in reply.text
    assert reply.sources[0]["title"] == "Returns"
    assert states(run)["faq_lookup"] is StepStatus.DONE

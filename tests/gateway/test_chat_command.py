import io
import json

import pytest
from django.core.management import CommandError, call_command

from apps.conversations.services import take_over_conversation
from apps.ingestion.services import add_document, process_document

UNKNOWN = "01935c1e-7d5a-7c33-8f00-123456789012"


@pytest.fixture
def knowledge(acme):
    text = "Parcels are returned within 30 days. Put the slip on the parcel."
    document = add_document(tenant=acme, title="Returns", text=text)
    process_document(tenant=acme, document_id=document.id)


def chat(*arguments: str) -> str:
    out = io.StringIO()
    call_command("chat", *arguments, stdout=out, no_color=True)
    return out.getvalue()


def test_a_question_prints_reply_sources_and_receipt(acme, valkey, knowledge):
    printed = chat("--tenant", "acme", "How do I return a parcel?")
    reply, rest = printed.split("\nSources")
    sources, receipt = rest.split("\nReceipt")
    assert "[1]" in reply
    assert "Returns" in sources
    for name in ("intent", "confidence", "workflow", "latency_ms", "conversation"):
        assert f"\n  {name}: " in receipt


def test_a_conversation_goes_on_and_json_is_json(acme, valkey, knowledge):
    first = json.loads(chat("--tenant", "acme", "--json", "How do I return a parcel?"))
    again = ["--conversation", first["conversation_id"], "--json", "Within how many days?"]
    second = json.loads(chat("--tenant", "acme", *again))
    assert second["conversation_id"] == first["conversation_id"]
    assert second["run_id"] != first["run_id"]
    assert second["receipt"]["workflow"]

    take_over_conversation(tenant=acme, conversation_id=first["conversation_id"], agent="user:1")
    with pytest.raises(CommandError, match="person"):
        chat("--tenant", "acme", *again)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--tenant", "nobody", "hi"], "no tenant"),
        (["--tenant", "acme", "  "], "text"),
        (["--tenant", "acme", "--workflow", "none", "hi"], "no published workflow"),
        (
            ["--tenant", "acme", "--conversation", UNKNOWN, "hi"],
            "conversation",
        ),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_line(acme, valkey, arguments, complaint):
    with pytest.raises(CommandError, match=complaint):
        chat(*arguments)

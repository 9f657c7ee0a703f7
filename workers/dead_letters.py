"""Handle what a consumer could not, once its cause is mended."""

from typing import Any

from apps.events.contracts import Envelope
from apps.events.services import list_consumers, mark_replayed
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from workers.consumers import handle_envelope


def replay_letter(tenant: TenantRef, letter: Any) -> str:
    """Hand a dead letter to its consumer again; return what went wrong, or an empty string."""
    consumer = next((consumer for consumer in list_consumers() if consumer.name == letter.consumer), None)
    if consumer is None:
        return f"no consumer is called {letter.consumer}"
    try:
        handle_envelope(consumer, Envelope.from_json(letter.envelope))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    with in_tenant(tenant):
        mark_replayed(letter_id=letter.id)
    return ""

"""What webhooks do when something has happened."""

from apps.events.contracts import Envelope
from apps.webhooks.services import enqueue


def on_event(envelope: Envelope) -> None:
    """Write an event down for the tenant's endpoints, together with the inbox's row."""
    enqueue(envelope)

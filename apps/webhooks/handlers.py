"""What webhooks do when something has happened."""

from collections.abc import Sequence

from apps.events.contracts import Envelope
from apps.webhooks.services import enqueue


def on_events(envelopes: Sequence[Envelope]) -> None:
    """Write events down for the tenant's endpoints, together with the inbox's rows."""
    enqueue(envelopes)

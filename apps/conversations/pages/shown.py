"""What templates need of entries and receipts, prepared once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from apps.conversations.contracts import MessageView, NoteView
from apps.conversations.selectors import name_people

AUTHORS = {"customer": "Customer", "ai": "AI", "agent": "Colleague", "system": "System"}
MICRO = 1_000_000
# What a receipt may lack, when it was written by an older version.
RECEIPT_FIELDS = (
    "intent", "reasons", "tier", "model", "provider", "fallback", "sources", "prompt_tokens",
    "completion_tokens", "run_id", "workflow", "version", "escalated", "knows",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ShownEntry:
    """A message or a note; `kind` is the author's, or `note`."""

    kind: str
    name: str
    message: MessageView | None = None
    note: NoteView | None = None
    receipt: dict[str, Any] | None = None


def show_entries(entries: Iterable[MessageView | NoteView], *, customer_name: str = "") -> list[ShownEntry]:
    """Name who wrote each entry, in one query for all of them."""
    entries = list(entries)
    people = name_people(e.author if isinstance(e, NoteView) else e.agent for e in entries)
    return [_show(entry, people, customer_name) for entry in entries]


def _show(entry: MessageView | NoteView, people: Mapping[str, str], customer_name: str) -> ShownEntry:
    if isinstance(entry, NoteView):
        return ShownEntry(kind="note", name=people[entry.author], note=entry)
    kind = entry.author.value
    name = people.get(entry.agent) or (kind == "customer" and customer_name) or AUTHORS[kind]
    return ShownEntry(kind=kind, name=name, message=entry, receipt=show_receipt(entry.receipt))


def show_cost(cost_microusd: int) -> str:
    """Write an amount with as many digits as it has."""
    return f"${cost_microusd / MICRO:.6f}".rstrip("0").rstrip(".") if cost_microusd else "$0"


def show_receipt(receipt: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a receipt with its numbers as people read them."""
    if not receipt:
        return None
    cost, confidence = receipt.get("cost_microusd") or 0, receipt.get("confidence")
    return {
        **dict.fromkeys(RECEIPT_FIELDS),
        **receipt,
        "cost": show_cost(cost),
        "confidence_percent": f"{confidence:.0%}" if isinstance(confidence, int | float) else "",
        "latency_s": f"{(receipt.get('latency_ms') or 0) / 1000:.2f}",
    }

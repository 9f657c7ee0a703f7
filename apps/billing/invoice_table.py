"""An invoice as rows of text: what its page and its PDF both show."""

from dataclasses import dataclass

from apps.billing.contracts import InvoiceView, LineType, LineView, TierShare
from apps.billing.money import write_cents, write_period, write_unit_price


@dataclass(frozen=True)
class Row:
    """A line; `notes` say which other period it belongs to, and how its quantity is priced."""

    description: str
    notes: tuple[str, ...]
    quantity: str
    amount: str


def list_rows(invoice: InvoiceView) -> list[Row]:
    """Return the lines in their order."""
    return [_row(line, invoice) for line in invoice.lines]


def write_total(invoice: InvoiceView) -> str:
    """Return what is owed."""
    return write_cents(invoice.total_cents, invoice.currency)


def _row(line: LineView, invoice: InvoiceView) -> Row:
    when = () if line.period == invoice.period else (write_period(line.period, invoice.time_zone),)
    return Row(
        description=line.description,
        notes=(*when, *(_note(share, invoice.currency) for share in line.shares)),
        quantity="" if line.type == LineType.BASE_FEE else f"{line.quantity:,}",
        amount=write_cents(line.amount_cents, invoice.currency),
    )


def _note(share: TierShare, currency: str) -> str:
    if not share.unit_price:
        return f"{share.quantity:,} included"
    return f"{share.quantity:,} at {write_unit_price(share.unit_price)} {currency}"

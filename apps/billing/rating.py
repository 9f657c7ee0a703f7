"""What usage costs, in exact decimals; knows nothing of tenants, tables or time.

Every product of a whole quantity and a price of 12 decimals is exact. Rounding happens once for each
line, half up to whole cents. What is billed of a period in instalments (late usage) is the difference of
the rounded totals, so that instalments always add up to what one line for all of it would have cost.
"""

from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_UP, Decimal, localcontext

from apps.billing.contracts import Tier, TierShare

PRECISION = 60  # digits; the default of 28 would round the product of a large quantity and a small price
CENT, TWELVE_DECIMALS = Decimal("0.01"), Decimal("1E-12")


def split_by_tier(*, before: int, quantity: int, tiers: Sequence[Tier]) -> tuple[TierShare, ...]:
    """Return how much of the units after the first `before` falls into each tier, the free ones included."""
    end, shares = before + quantity, []
    starts = [Tier(0, Decimal(0)), *sorted(tiers, key=lambda tier: tier.starts_after)]
    for tier, following in zip(starts, [*starts[1:], None], strict=True):
        last = end if following is None else min(end, following.starts_after)
        units = last - max(before, tier.starts_after)
        if units > 0:
            shares.append(TierShare(units, tier.unit_price, _times(units, tier.unit_price)))
    return tuple(shares)


def rate(*, quantity: int, tiers: Sequence[Tier]) -> Decimal:
    """Return what a quantity costs, unrounded."""
    return add(share.amount for share in split_by_tier(before=0, quantity=quantity, tiers=tiers))


def rate_in_cents(*, quantity: int, tiers: Sequence[Tier]) -> int:
    """Return what a quantity costs, rounded."""
    return to_cents(rate(quantity=quantity, tiers=tiers))


def prorate(*, cents: int, part: int, whole: int) -> Decimal:
    """Return the share of a fee, to 12 decimals; `part` and `whole` are lengths in any same unit."""
    with localcontext(prec=PRECISION, rounding=ROUND_HALF_UP):
        return (Decimal(cents) / 100 * part / whole).quantize(TWELVE_DECIMALS)


def to_cents(amount: Decimal) -> int:
    """Round an amount to whole cents, half up."""
    with localcontext(prec=PRECISION):
        return int(amount.quantize(CENT, ROUND_HALF_UP) * 100)


def add(amounts: Iterable[Decimal]) -> Decimal:
    """Add amounts without rounding."""
    with localcontext(prec=PRECISION):
        return sum(amounts, Decimal(0))


def _times(units: int, unit_price: Decimal) -> Decimal:
    with localcontext(prec=PRECISION):
        return units * unit_price

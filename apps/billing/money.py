"""How money, quantities and periods are written for people; page, PDF and CSV write them the same way."""

import datetime as dt
from decimal import Decimal
from zoneinfo import ZoneInfo

from apps.billing.contracts import Period


def write_cents(cents: int, currency: str) -> str:
    """Return an amount such as "1,234.50 USD"."""
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100:,}.{abs(cents) % 100:02d} {currency}"


def write_unit_price(price: Decimal) -> str:
    """Return a price without trailing zeros, with two decimals at least."""
    whole, _, decimals = f"{price:f}".partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"


def write_period(period: Period, time_zone: str) -> str:
    """Return the first and last day of a period there, such as "5 March 2026 to 4 April 2026"."""
    zone = ZoneInfo(time_zone)
    first = period.start.astimezone(zone)
    last = (period.end - dt.timedelta(microseconds=1)).astimezone(zone)
    return f"{first.day} {first:%B %Y} to {last.day} {last:%B %Y}"

"""Amounts as people read them."""

from decimal import Decimal

from django import template

register = template.Library()


@register.filter
def money(cents: int, currency: str) -> str:
    """Return cents as an amount, e.g. 1,234.50 EUR."""
    return f"{Decimal(cents or 0) / 100:,.2f} {currency}"

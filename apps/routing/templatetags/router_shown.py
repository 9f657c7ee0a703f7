"""Shares, and names of models, as people read them."""

from django import template

register = template.Library()


@register.filter
def percent(share: float | None) -> str:
    """Write 0.9123 as 91.2%, and nothing where there is nothing."""
    return "\u2013" if share is None else f"{share:.1%}"


@register.filter
def model_label(name: str) -> str:
    """Call the shipped model by what it is, not by its fingerprint."""
    return "shipped model" if name.startswith("default-") else name


@register.simple_tag
def points(before: float, after: float) -> str:
    """Write a change between two shares in percentage points, with its sign."""
    return f"{(after - before) * 100:+.1f} points"

"""Shares, and names of models, as people read them."""

from django import template

register = template.Library()


@register.filter
def percent(share: float | str | None) -> str:
    """Write 0.9123 as 91.2%, and a dash for what is not known: templates hand over "" for it."""
    return f"{share:.1%}" if isinstance(share, float | int) else "\u2013"


@register.filter
def model_label(name: str) -> str:
    """Call the shipped model by what it is, not by its fingerprint."""
    return "shipped model" if name.startswith("default-") else name


@register.simple_tag
def points(before: float, after: float) -> str:
    """Write a change between two shares in percentage points, with its sign."""
    return f"{(after - before) * 100:+.1f} points"

"""What a template may offer: the check of `apps.tenants.permissions`, asked before instead of after."""

from django import template

from apps.tenants.contracts import Principal

register = template.Library()


@register.filter
def may(principal: Principal, permission: str) -> bool:
    """Tell whether a doorway that asks for the permission would let this member pass."""
    return principal.may(permission)

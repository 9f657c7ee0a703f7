"""A company's public page on its own domain: its chat."""

from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.resilience.errors import NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import get_tenant_name, get_widget_key

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src {}; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@require_safe
def show_company(request: Any) -> HttpResponse:
    """Show the chat of the company whose domain was asked for."""
    company: TenantRef = request.company
    with in_tenant(company):
        context = {"company": get_tenant_name(tenant=company), "key": _find_key(company)}
    response = render(request, "realtime/company.html", context)
    response["Content-Security-Policy"] = POLICY.format(settings.REALTIME_URL)
    response["Cache-Control"] = "no-store"  # a domain that is lost shows nothing any more
    return response


def _find_key(company: TenantRef) -> str:
    try:
        return get_widget_key(tenant=company).key
    except NotFoundError:  # every widget is switched off
        return ""

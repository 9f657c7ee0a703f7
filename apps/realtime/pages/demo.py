"""The demo sites, which use the widget as a customer's site would."""

import datetime as dt
from typing import Any

import jwt
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from apps.realtime.sites import SITES, Site
from apps.resilience.errors import NotFoundError
from apps.tenants.contracts import WidgetKeyView
from apps.tenants.selectors import get_tenant, get_widget_key

TOKEN_LIFETIME = dt.timedelta(hours=8)


@require_safe
def list_sites(request: HttpRequest) -> HttpResponse:
    """Show which demo sites there are."""
    _require_demo()
    return _render(request, "realtime/sites.html", {"sites": SITES.values()})


@require_safe
def show_site(request: HttpRequest, slug: str) -> HttpResponse:
    """Show a demo company's site, as its signed-in customer or, with ?guest, as anybody."""
    _require_demo()
    site = SITES.get(slug)
    try:
        widget = get_widget_key(tenant=get_tenant(slug=slug)) if site else None
    except NotFoundError:
        widget = None
    if site is None or widget is None:
        raise Http404("There is no such demo site. Seed the demo tenants first: manage.py seed_demo")
    is_guest = "guest" in request.GET
    return _render(
        request,
        site.template,
        {
            "site": site,
            "is_guest": is_guest,
            "widget_url": request.build_absolute_uri(f"/widget.js?key={widget.key}"),
            "widget_key": widget.key,
            "token": None if is_guest else _sign_customer(site, widget),
        },
    )


def _require_demo() -> None:
    if not settings.DEMO_PAGES:
        raise Http404("Demo sites are off; DEMO_PAGES=true shows them.")


def _sign_customer(site: Site, widget: WidgetKeyView) -> str:
    claims: dict[str, Any] = {
        "sub": site.customer_external_id,
        "email": site.customer_email,
        "name": site.customer_name,
        "exp": timezone.now() + TOKEN_LIFETIME,
    }
    return jwt.encode(claims, widget.identity_secret, algorithm="HS256")


def _render(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    response = render(request, template, context)
    response["Content-Security-Policy"] = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        f"connect-src {settings.REALTIME_URL}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    response["Cache-Control"] = "no-store"
    return response

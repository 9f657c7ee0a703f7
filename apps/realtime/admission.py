"""Who may open a socket: a known widget key, on an allowed page, perhaps with a customer's token."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from django.conf import settings

from apps.conversations.services import read_inbox_ticket
from apps.realtime.frames import FrameError
from apps.realtime.identity import BadToken, Identity, verify_customer_token
from apps.realtime.sightings import note_sighting
from apps.realtime.threads import in_thread
from apps.resilience.errors import DomainError
from apps.tenants.contracts import TenantRef, WidgetKeyView
from apps.tenants.selectors import get_tenant, resolve_widget_key
from apps.tenants.services import note_widget_embedded

EMBEDDED_SIZE = 10_000
_embedded: set[str] = set()  # keys of which this process has noted that a foreign page shows them
UNAUTHENTICATED, FORBIDDEN = 4401, 4403


@dataclass(frozen=True)
class Visitor:
    """Somebody on a page that shows a widget; `origin` as their browser names it, empty without one."""

    tenant: TenantRef
    identity: Identity | None
    key: str
    origin: str


@dataclass(frozen=True)
class Colleague:
    """One of a tenant's people at their inbox."""

    tenant: TenantRef
    agent: str
    name: str
    may_write: bool


class Refused(FrameError):
    """Turn a socket away for good, with a close code."""

    def __init__(self, code: str, detail: str, *, close_code: int) -> None:
        super().__init__(code, detail)
        self.close_code = close_code


async def admit(scope: Mapping[str, Any]) -> Visitor:
    """Check key, origin and token of a WebSocket scope; raises Refused."""
    query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
    widget = await in_thread(resolve_widget_key, query["key"]) if query.get("key") else None
    if widget is None:
        raise Refused(
            "unknown_key", "Connect with ?key=<widget key> of an active widget.", close_code=UNAUTHENTICATED
        )
    origin = _sent_origin(scope)
    is_allowed = may_embed(widget, origin)
    await _note_page(widget, origin, is_allowed)
    if not is_allowed:
        raise Refused(
            "origin_not_allowed",
            f"Add {origin or 'the origin of this client'} to the allowed domains of this widget.",
            close_code=FORBIDDEN,
        )
    return Visitor(widget.tenant, _identify(widget, query.get("token", "")), widget.key, origin)


def may_embed(widget: WidgetKeyView, origin: str) -> bool:
    """Tell whether a page may use the widget: our own always, any where no domain is named."""
    allowed = {_origin_of(address) for address in (*widget.allowed_origins, settings.PUBLIC_URL)}
    return not widget.allowed_origins or _origin_of(origin) in allowed


async def _note_page(widget: WidgetKeyView, origin: str, is_allowed: bool) -> None:
    page = _origin_of(origin)
    if page in ("://", _origin_of(settings.PUBLIC_URL)):
        return
    await in_thread(
        note_sighting, tenant_id=widget.tenant.id, key=widget.key, origin=page, is_allowed=is_allowed
    )
    if not is_allowed or widget.key in _embedded:
        return
    if len(_embedded) >= EMBEDDED_SIZE:
        _embedded.clear()
    _embedded.add(widget.key)
    await in_thread(note_widget_embedded, tenant=widget.tenant, key=widget.key)


def _sent_origin(scope: Mapping[str, Any]) -> str:
    return dict(scope["headers"]).get(b"origin", b"").decode("latin-1")


async def admit_colleague(scope: Mapping[str, Any]) -> Colleague:
    """Check the ticket of an inbox page; raises Refused."""
    query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
    try:
        ticket = read_inbox_ticket(query.get("ticket", ""))
        tenant = await in_thread(get_tenant, tenant_id=ticket.tenant_id)
    except DomainError as error:
        raise Refused("bad_ticket", error.detail, close_code=UNAUTHENTICATED) from None
    return Colleague(tenant, ticket.agent, ticket.name, ticket.may_write)


def _origin_of(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _identify(widget: WidgetKeyView, token: str) -> Identity | None:
    if not token:
        return None
    try:
        return verify_customer_token(token, secret=widget.identity_secret, previous=widget.previous_secret)
    except BadToken as error:
        raise Refused(error.code, str(error), close_code=UNAUTHENTICATED) from None

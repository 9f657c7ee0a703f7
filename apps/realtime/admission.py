"""Who may open a socket: a known widget key, on an allowed page, perhaps with a customer's token."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from django.conf import settings

from apps.conversations.services import read_inbox_ticket
from apps.realtime.frames import FrameError
from apps.realtime.identity import BadToken, Identity, verify_customer_token
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
    tenant: TenantRef
    identity: Identity | None


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
    _check_origin(widget, scope)
    await _note_embedding(widget, scope)
    return Visitor(widget.tenant, _identify(widget, query.get("token", "")))


async def _note_embedding(widget: WidgetKeyView, scope: Mapping[str, Any]) -> None:
    origin = _origin_of(_sent_origin(scope))
    if widget.key in _embedded or origin in ("://", _origin_of(settings.PUBLIC_URL)):
        return
    if len(_embedded) >= EMBEDDED_SIZE:
        _embedded.clear()
    _embedded.add(widget.key)
    await in_thread(partial(note_widget_embedded, tenant=widget.tenant, key=widget.key))


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


def _check_origin(widget: WidgetKeyView, scope: Mapping[str, Any]) -> None:
    origin = _sent_origin(scope)
    allowed = {_origin_of(address) for address in (*widget.allowed_origins, settings.PUBLIC_URL)}
    if widget.allowed_origins and _origin_of(origin) not in allowed:
        raise Refused(
            "origin_not_allowed",
            f"Add {origin or 'the origin of this client'} to the allowed origins of this widget key.",
            close_code=FORBIDDEN,
        )


def _origin_of(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _identify(widget: WidgetKeyView, token: str) -> Identity | None:
    try:
        return verify_customer_token(token, secret=widget.identity_secret) if token else None
    except BadToken as error:
        raise Refused(error.code, str(error), close_code=UNAUTHENTICATED) from None

"""Who may open a socket: a known widget key, on an allowed page, perhaps with a customer's token."""

from collections.abc import Collection, Mapping
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
from apps.tenants.client_address import find_client_address
from apps.tenants.contracts import TenantRef, WidgetKeyView, WidgetStanding
from apps.tenants.passes import Pass, list_void_passes, read_pass
from apps.tenants.selectors import allows_origin, get_tenant, list_widget_standings, resolve_widget_key
from apps.tenants.services import note_widget_embedded

EMBEDDED_SIZE = 10_000
_embedded: set[str] = set()  # keys of which this process has noted that a foreign page shows them
UNAUTHENTICATED, FORBIDDEN = 4401, 4403


@dataclass(frozen=True)
class Visitor:
    """Somebody on a page that shows a widget; `origin` as their browser names it, empty without one.

    `secret_version` is that of the secret which has signed their identity, `address` where they connect from.
    """

    tenant: TenantRef
    identity: Identity | None
    key: str
    origin: str
    secret_version: int | None = None
    address: str = ""


@dataclass(frozen=True)
class Colleague:
    """One of a tenant's people at their inbox."""

    tenant: TenantRef
    agent: str
    name: str
    may_write: bool
    held: Pass

    def may(self, permission: str) -> bool:
        """Tell whether a frame that asks for the permission is obeyed: as the ticket's page was told."""
        return permission == "read:conversations" or (self.may_write and permission == "write:conversations")


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
    identity, secret_version = _identify(widget, query.get("token", ""))
    return Visitor(widget.tenant, identity, widget.key, origin, secret_version, _address_of(scope))


def may_embed(widget: WidgetKeyView, origin: str) -> bool:
    """Tell whether a page may use the widget: our own always, any where no domain is named."""
    return is_allowed_origin(origin, widget.allowed_origins)


def is_allowed_origin(origin: str, allowed: Collection[str]) -> bool:
    """Tell whether an origin is one of those named; a page without one is none of them."""
    return not allowed or allows_origin(origin, {*allowed, _origin_of(settings.PUBLIC_URL)})


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


def _address_of(scope: Mapping[str, Any]) -> str:
    sent = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return find_client_address(
        peer=(scope.get("client") or ("unknown",))[0],
        forwarded_for=b",".join(sent).decode("latin-1"),
        trusted_proxies=settings.TRUSTED_PROXY_COUNT,
    )


def _sent_origin(scope: Mapping[str, Any]) -> str:
    return dict(scope["headers"]).get(b"origin", b"").decode("latin-1")


async def admit_colleague(scope: Mapping[str, Any]) -> Colleague:
    """Check the ticket of an inbox page; raises Refused."""
    query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
    try:
        ticket = read_inbox_ticket(query.get("ticket", ""))
        held = read_pass(ticket.held)
        tenant = await in_thread(get_tenant, tenant_id=ticket.tenant_id)
    except DomainError as error:
        raise Refused("bad_ticket", error.detail, close_code=UNAUTHENTICATED) from None
    return Colleague(tenant, ticket.agent, ticket.name, ticket.may_write, held)


def find_unwelcome_visitors(visitors: Collection[Visitor]) -> dict[Visitor, Refused]:
    """Return whom to send away: their widget is off, or takes their page or signature no more."""
    standings = list_widget_standings({visitor.key for visitor in visitors})
    judged = {visitor: _judge(visitor, standings.get(visitor.key)) for visitor in visitors}
    return {visitor: refusal for visitor, refusal in judged.items() if refusal}


def find_unwelcome_colleagues(colleagues: Collection[Colleague]) -> dict[Colleague, Refused]:
    """Return whom to send away: their session, membership, role or password is not what it was."""
    void = list_void_passes({colleague.held for colleague in colleagues})
    detail = "What you were let in by has changed or ended; fetch a new ticket from the inbox's page."
    return {
        colleague: Refused("access_ended", detail, close_code=UNAUTHENTICATED)
        for colleague in colleagues
        if colleague.held in void
    }


def _judge(visitor: Visitor, standing: WidgetStanding | None) -> Refused | None:
    if standing is None:
        return Refused("unknown_key", "This widget has been switched off.", close_code=UNAUTHENTICATED)
    if not is_allowed_origin(visitor.origin, standing.allowed_origins):
        detail = "This page may not show this widget any more."
        return Refused("origin_not_allowed", detail, close_code=FORBIDDEN)
    current = standing.secret_version
    signing = {None, current} | ({current - 1} if standing.previous_secret_signs else set())
    if visitor.secret_version not in signing:
        detail = "The secret that signed this customer token was replaced; sign a new one."
        return Refused("token_invalid", detail, close_code=UNAUTHENTICATED)
    return None


def _origin_of(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _identify(widget: WidgetKeyView, token: str) -> tuple[Identity, int] | tuple[None, None]:
    if not token:
        return None, None
    try:
        identity = verify_customer_token(
            token, secret=widget.identity_secret, previous=widget.previous_secret, audience=widget.key
        )
    except BadToken as error:
        raise Refused(error.code, str(error), close_code=UNAUTHENTICATED) from None
    return identity, widget.secret_version - identity.is_by_previous

"""Who is calling: the one reader of the Authorization header."""

import re

from django.http import HttpRequest

from apps.gateway.tokens import BadToken, read_access_token
from apps.orchestration.hooks.contracts import DeliveryRefused, Sender, SignedDelivery
from apps.orchestration.hooks.services import verify_delivery
from apps.resilience.errors import NotFoundError
from apps.tenants.client_address import find_client_address
from apps.tenants.contracts import Principal
from apps.tenants.services import authenticate_api_key

API_KEY_PREFIX = "ak_"
MAX_HEADER_CHARS = 8192
HOOK = re.compile(r"/hooks/([^/]{1,63})/([^/]{1,63})")


class BadCredentials(Exception):
    """A credential was given and is no good; the message says what to do."""


def find_principal(header: str) -> Principal | None:
    """Return whom an Authorization header stands for, None without one; raises BadCredentials.

    `Bearer` takes a JWT, or an API key as OpenAI's clients send it; `Api-Key` takes an API key.
    """
    if not header:
        return None
    scheme, _, credential = header.partition(" ")
    credential = credential.strip()
    if not credential or len(header) > MAX_HEADER_CHARS:
        raise BadCredentials("Send `Authorization: Bearer <JWT>` or `Authorization: Api-Key <key>`.")
    match scheme.lower():
        case "api-key":
            return _by_key(credential)
        case "bearer":
            return _by_key(credential) if credential.startswith(API_KEY_PREFIX) else _by_token(credential)
    raise BadCredentials(f"The scheme {scheme[:20]!r} is not known; use Bearer or Api-Key.")


def find_sender(request: HttpRequest) -> Sender | None:
    """Return the webhook endpoint whose secret has signed a delivery; raises BadCredentials."""
    address = HOOK.fullmatch(request.path)
    if address is None or request.method != "POST":
        return None
    signed = SignedDelivery(
        webhook_id=request.headers.get("webhook-id", ""),
        timestamp=request.headers.get("webhook-timestamp", ""),
        signature=request.headers.get("webhook-signature", ""),
        body=request.body,
    )
    try:
        return verify_delivery(tenant_slug=address[1], name=address[2], signed=signed)
    except DeliveryRefused as exc:
        raise BadCredentials(exc.detail) from exc


def client_ip(request: HttpRequest, trusted_proxies: int) -> str:
    """Return the address of a request's caller."""
    return find_client_address(
        peer=request.META.get("REMOTE_ADDR") or "unknown",
        forwarded_for=request.headers.get("X-Forwarded-For", ""),
        trusted_proxies=trusted_proxies,
    )


def _by_key(credential: str) -> Principal:
    principal = authenticate_api_key(credential)
    if principal is None:
        raise BadCredentials("This API key is unknown, expired or revoked; make a new one under api-keys.")
    return principal


def _by_token(credential: str) -> Principal:
    try:
        return read_access_token(credential)
    except (BadToken, NotFoundError) as exc:
        raise BadCredentials(str(exc)) from exc

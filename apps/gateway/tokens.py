"""JSON Web Tokens with the contract's claims: one to call with, and one that renews both, once."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

import jwt
from django.conf import settings
from django.utils import timezone

from apps.gateway.families import Turn, begin_family, end_family, find_member, read_member, take_turn
from apps.gateway.signing import ALGORITHM, find_public_key, sign
from apps.resilience.errors import NotAllowed
from apps.tenants.contracts import Principal

ACCESS_LIFETIME = dt.timedelta(minutes=15)
CLOCK_LEEWAY_S = 30  # between the clocks of our machines
ACCESS, REFRESH = "at+jwt", "refresh+jwt"  # `typ`, as RFC 9068 names it
CLAIMS = ["iss", "aud", "sub", "tenant_id", "sid", "jti", "iat", "exp"]


@dataclass(frozen=True)
class TokenPair:
    """A short-lived access token and what renews it."""

    access: str
    refresh: str
    expires_in_s: int


class BadToken(Exception):
    """A token that is malformed, forged, expired or of the wrong kind; the message may be shown."""


INVALID = "The token is invalid or has expired; get a new one from auth/token."
ENDED = "This login has ended; log in again at auth/token."


def issue_tokens(principal: Principal) -> TokenPair:
    """Sign the first pair of tokens of a login; raises BadToken for somebody who is no member any more."""
    turn = begin_family(principal)
    if turn is None:
        raise BadToken("You are no longer a member of this tenant.")
    return _sign_pair(principal, turn)


def read_access_token(raw: str) -> Principal:
    """Return whom an access token stands for, with no more than their role permits today; raises BadToken."""
    claims = _read(raw, ACCESS)
    today = _standing_for(claims, find_member)
    return replace(today, permissions=today.permissions & frozenset(claims.get("permissions", ())))


def renew_tokens(raw: str) -> TokenPair:
    """Exchange a refresh token, once, for a new pair with the member's rights of today; raises BadToken.

    A token that was exchanged before ends its whole login: one of two who have it is not its owner.
    """
    claims = _read(raw, REFRESH)
    member = _standing_for(claims, read_member)
    turn = take_turn(tenant=member.tenant, family_id=UUID(claims["sid"]), generation=claims["gen"])
    if turn is None:
        raise BadToken(ENDED)
    return _sign_pair(member, turn)


def revoke_tokens(raw: str) -> None:
    """Log out: end the login that a refresh or an access token belongs to; raises BadToken.

    A login that has ended already stays so.
    """
    try:
        claims = _read(raw, REFRESH)
    except BadToken:
        claims = _read(raw, ACCESS)
    member = read_member(UUID(claims["sid"]))
    if member is not None:
        end_family(tenant=member.tenant, family_id=UUID(claims["sid"]))


def _sign_pair(principal: Principal, turn: Turn) -> TokenPair:
    now = timezone.now()
    shared = {
        "iss": settings.PUBLIC_URL.rstrip("/"),
        "sub": principal.id,
        "tenant_id": str(principal.tenant.id),
        "sid": str(turn.family_id),
        "iat": now,
    }
    rights = {"roles": list(principal.roles), "permissions": sorted(principal.permissions)}
    access = {**shared, **rights, "aud": _audience(ACCESS), "jti": uuid4().hex, "exp": now + ACCESS_LIFETIME}
    refresh = {**shared, "aud": _audience(REFRESH), "jti": uuid4().hex, "exp": turn.expires_at}
    return TokenPair(
        sign(access, kind=ACCESS),
        sign({**refresh, "gen": turn.generation}, kind=REFRESH),
        int(ACCESS_LIFETIME.total_seconds()),
    )


def _audience(kind: str) -> str:
    path = "api/v1" if kind == ACCESS else "api/v1/auth"
    return f"{settings.PUBLIC_URL.rstrip('/')}/{path}"


def _read(raw: str, kind: str) -> dict[str, Any]:
    try:
        header = jwt.get_unverified_header(raw)
        if header["typ"] != kind:
            raise BadToken(INVALID)
        key = find_public_key(str(header["kid"]))
        if key is None:
            raise BadToken(INVALID)
        claims = jwt.decode(
            raw,
            key,
            algorithms=[ALGORITHM],  # never what the token says
            issuer=settings.PUBLIC_URL.rstrip("/"),
            audience=_audience(kind),
            leeway=CLOCK_LEEWAY_S,
            options={"require": CLAIMS, "strict_aud": True},
        )
        UUID(claims["sid"])
        if kind == REFRESH and type(claims["gen"]) is not int:
            raise BadToken(INVALID)
    except (jwt.PyJWTError, KeyError, TypeError, ValueError, AttributeError) as exc:
        raise BadToken(INVALID) from exc
    return claims


def _standing_for(claims: dict[str, Any], find: Callable[[UUID], Principal | None]) -> Principal:
    try:
        member = find(UUID(claims["sid"]))
    except NotAllowed as error:
        raise BadToken(error.detail) from error
    if member is None:
        raise BadToken(ENDED)
    if (member.id, str(member.tenant.id)) != (claims["sub"], claims["tenant_id"]):
        raise BadToken(INVALID)
    return member

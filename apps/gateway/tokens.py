"""JSON Web Tokens with the contract's claims, signed and read through simplejwt."""

from dataclasses import dataclass, replace
from uuid import UUID

from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token

from apps.resilience.errors import NotAllowed
from apps.tenants import selectors
from apps.tenants.contracts import Principal
from apps.tenants.identity.services import principal_of_member


@dataclass(frozen=True)
class TokenPair:
    """A short-lived access token and what renews it."""

    access: str
    refresh: str
    expires_in_s: int


class BadToken(Exception):
    """A token that is malformed, forged, expired or of the wrong kind; the message may be shown."""


def issue_tokens(principal: Principal) -> TokenPair:
    """Sign a pair of tokens for a member."""
    access, refresh = AccessToken(), RefreshToken()
    for token in (access, refresh):
        token["sub"] = principal.id
        token["tenant_id"] = str(principal.tenant.id)
        token["mfa"] = principal.has_shown_mfa
    access["roles"] = list(principal.roles)
    access["permissions"] = sorted(principal.permissions)
    return TokenPair(str(access), str(refresh), int(access.lifetime.total_seconds()))


def read_access_token(raw: str) -> Principal:
    """Return whom an access token stands for, with no more than their role permits today; raises BadToken."""
    token = _read(AccessToken, raw)
    today = _member(token)
    return replace(today, permissions=today.permissions & frozenset(token.get("permissions", ())))


def renew_tokens(raw: str) -> TokenPair:
    """Exchange a refresh token for a new pair with the member's rights of today; raises BadToken."""
    return issue_tokens(_member(_read(RefreshToken, raw)))


def _member(token: Token) -> Principal:
    user_id = UUID(token["sub"])
    for membership in selectors.list_memberships(user_id=user_id):
        if str(membership.tenant.id) == token["tenant_id"]:
            try:
                return principal_of_member(
                    user_id=user_id, name="", membership=membership, has_shown_mfa=token.get("mfa") is True
                )
            except NotAllowed as error:
                raise BadToken(error.detail) from error
    raise BadToken("You are no longer a member of this tenant.")


def _read(kind: type[Token], raw: str) -> Token:
    try:
        token = kind(raw)  # type: ignore[arg-type]
        UUID(token["sub"])
        UUID(token["tenant_id"])
    except (TokenError, KeyError, TypeError, ValueError, AttributeError) as exc:
        raise BadToken("The token is invalid or has expired; get a new one from auth/token.") from exc
    return token

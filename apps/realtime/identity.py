"""Who a socket speaks for: the owner of an anonymous conversation, or a customer the tenant vouches for."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import jwt
from django.core import signing

SESSION_SALT = "realtime.session"
SESSION_MAX_AGE_S = 90 * 24 * 3600
CLOCK_LEEWAY_S = 30
CHECKS: Any = {"require": ["exp"], "verify_aud": False}


class BadToken(Exception):
    """The customer's token proves nothing; `code` and the text say why."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


@dataclass(frozen=True)
class Identity:
    """A customer as the tenant's own signature describes them."""

    external_id: str
    email: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class SessionSecret:
    """What a browser shows to get its anonymous conversation back."""

    tenant_id: UUID
    conversation_id: UUID
    visitor_id: str


def verify_customer_token(token: str, *, secret: str, previous: str = "") -> Identity:
    """Check a token of the tenant's backend: HS256, `exp`, and `sub` or `external_id`; raises BadToken.

    `previous` is the secret before the last rotation, as long as it still signs.
    """
    if not secret:
        raise BadToken(
            "token_not_accepted", "This widget has no identity secret; create one or leave the token out."
        )
    try:
        claims = _decode(token, secret, previous)
    except jwt.ExpiredSignatureError:
        raise BadToken("token_expired", "The customer token has expired; sign a new one.") from None
    except jwt.InvalidTokenError as error:
        raise BadToken(
            "token_invalid",
            f"Sign the customer token with HS256 and the widget's identity secret, with exp ({error}).",
        ) from None
    external_id = claims.get("external_id") or claims.get("sub")
    if not isinstance(external_id, str):
        raise BadToken("token_invalid", "The customer token needs the claim `sub` or `external_id`, a text.")
    return Identity(external_id, email=_text(claims.get("email")), name=_text(claims.get("name")))


def _decode(token: str, secret: str, previous: str) -> dict[str, Any]:
    try:
        return jwt.decode(token, secret, algorithms=["HS256"], leeway=CLOCK_LEEWAY_S, options=CHECKS)
    except jwt.InvalidSignatureError:
        if not previous:
            raise
        return _decode(token, previous, "")


def sign_session(session: SessionSecret) -> str:
    """Return the secret that `verify_session` accepts for SESSION_MAX_AGE_S."""
    value = [session.tenant_id.hex, session.conversation_id.hex, session.visitor_id]
    return signing.dumps(value, salt=SESSION_SALT)


def verify_session(secret: str) -> SessionSecret | None:
    """Return the session that this server signed, or None."""
    try:
        tenant_id, conversation_id, visitor_id = signing.loads(
            secret, salt=SESSION_SALT, max_age=SESSION_MAX_AGE_S
        )
    except signing.BadSignature:
        return None
    return SessionSecret(UUID(tenant_id), UUID(conversation_id), visitor_id)


def _text(claim: object) -> str | None:
    return claim if isinstance(claim, str) and claim else None

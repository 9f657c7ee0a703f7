"""Who a socket speaks for: the owner of an anonymous conversation, or a customer the tenant vouches for."""

import re
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import jwt
from django.core import signing

MAX_TOKEN_CHARS = 4096
MAX_SUBJECT_CHARS = 100
MAX_LIFETIME_S = 24 * 3600  # a token that was copied is of no use the day after
SESSION_SALT = "realtime.session"
SESSION_MAX_AGE_S = 90 * 24 * 3600
CLOCK_LEEWAY_S = 30
CHECKS: Any = {"require": ["exp"], "verify_aud": False}  # `aud` may be absent, so it is checked here
CONTROL = re.compile("[\x00-\x1f\x7f]")


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
    is_by_previous: bool = field(
        default=False, compare=False
    )  # signed with the secret before the last rotation


@dataclass(frozen=True)
class SessionSecret:
    """What a browser shows to get its anonymous conversation back."""

    tenant_id: UUID
    conversation_id: UUID
    visitor_id: str


def verify_customer_token(token: str, *, secret: str, previous: str = "", audience: str = "") -> Identity:
    """Check a token of the tenant's backend: HS256, `exp`, and `sub` or `external_id`; raises BadToken.

    `previous` is the secret before the last rotation, as long as it still signs. An `aud`, if there is one,
    must name `audience`, the widget's key.
    """
    if len(token) > MAX_TOKEN_CHARS:
        raise BadToken("token_invalid", f"A customer token has at most {MAX_TOKEN_CHARS} characters.")
    if not secret:
        raise BadToken(
            "token_not_accepted", "This widget has no identity secret; create one or leave the token out."
        )
    try:
        claims, is_by_previous = _decode(token, secret, previous)
    except jwt.ExpiredSignatureError:
        raise BadToken("token_expired", "The customer token has expired; sign a new one.") from None
    except jwt.InvalidTokenError as error:
        raise BadToken(
            "token_invalid",
            f"Sign the customer token with HS256 and the widget's identity secret, with exp ({error}).",
        ) from None
    _check_reach(claims, audience)
    email, name = _text(claims.get("email")), _text(claims.get("name"))
    return Identity(_subject(claims), email=email, name=name, is_by_previous=is_by_previous)


def _check_reach(claims: dict[str, Any], audience: str) -> None:
    if claims["exp"] > time.time() + MAX_LIFETIME_S + CLOCK_LEEWAY_S:
        raise BadToken(
            "token_invalid", "Let the customer token end within a day: sign a new one for each visit."
        )
    named = claims.get("aud", audience)
    if audience not in (named if isinstance(named, list) else [named]):
        raise BadToken("token_invalid", "The claim `aud` of the customer token must be this widget's key.")


def _subject(claims: dict[str, Any]) -> str:
    subject = claims.get("external_id") or claims.get("sub")
    if not isinstance(subject, str) or not subject.strip() or CONTROL.search(subject):
        raise BadToken("token_invalid", "The customer token needs the claim `sub` or `external_id`, a text.")
    if len(subject) > MAX_SUBJECT_CHARS:
        detail = f"The `sub` of a customer token has at most {MAX_SUBJECT_CHARS} characters."
        raise BadToken("token_invalid", detail)
    return subject


def _decode(token: str, secret: str, previous: str) -> tuple[dict[str, Any], bool]:
    options: Any = {"algorithms": ["HS256"], "leeway": CLOCK_LEEWAY_S, "options": CHECKS}
    try:
        return jwt.decode(token, secret, **options), False
    except jwt.InvalidSignatureError:
        if not previous:
            raise
        return jwt.decode(token, previous, **options), True


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

"""Check and keep what proves a person."""

from dataclasses import replace
from uuid import UUID

import structlog
from allauth.core import context, ratelimit
from allauth.core.internal.cryptokit import compare_user_code
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth as totp
from allauth.mfa.utils import decrypt
from django.contrib.auth.hashers import check_password, make_password
from django.db import transaction

from apps.resilience.errors import DomainError, NotAllowed, NotFoundError
from apps.tenants.audit import record_audit, record_for_person
from apps.tenants.context import in_tenant
from apps.tenants.contracts import MembershipView, Principal
from apps.tenants.identity.addresses import keep_address
from apps.tenants.identity.selectors import has_second_factor, is_address_verified
from apps.tenants.models import User
from apps.tenants.selectors import list_memberships
from apps.tenants.services import clean_email, principal_of

__all__ = [
    "authenticate_user",
    "keep_address",
    "remove_factors",
    "require_second_factor",
    "use_code",
]
log = structlog.get_logger(__name__)

DUMMY_HASH = make_password("an unknown e-mail costs as much time as a wrong password")


class SecondFactorRequired(DomainError):
    """The password was right, and is not enough."""

    status = 401
    title = "Second factor required"


class TooManyCodes(DomainError):
    """Somebody guesses."""

    status = 429
    title = "Too many codes"
    headers = {"Retry-After": "300"}


def use_code(*, user_id: UUID, code: str) -> Authenticator | None:
    """Return the factor that a code belongs to, or None; a code works once, whichever process it comes to."""
    with transaction.atomic():
        factors = Authenticator.objects.select_for_update().filter(user_id=user_id)
        for factor in factors.exclude(type=Authenticator.Type.WEBAUTHN).order_by("-type"):
            is_totp = factor.type == Authenticator.Type.TOTP
            if _use_totp(factor, code) if is_totp else factor.wrap().validate_code(code):
                return factor
    return None


def require_second_factor(*, user_id: UUID, code: str) -> bool:
    """Check and use the code of a person who has a second factor; return whether they have one.

    Raises SecondFactorRequired without a code that is right, TooManyCodes after five wrong ones.
    """
    if not has_second_factor(user_id=user_id):
        return False
    if not code:
        raise SecondFactorRequired(
            "This account has a second factor: send the code of its authenticator app, or one of its "
            "recovery codes, as `otp`."
        )
    limit = {"action": "login_failed", "key": f"mfa-auth-user-{user_id}"}  # shared with the pages
    if not ratelimit.consume(context.request, **limit):
        raise TooManyCodes("Too many codes for this account; wait five minutes.")
    if use_code(user_id=user_id, code=code) is None:
        raise SecondFactorRequired("The code in `otp` is wrong or was used before; send the next one.")
    ratelimit.clear(context.request, **limit)
    return True


def remove_factors(*, email: str) -> int:
    """Remove a person's second factors and recovery codes and return how many; raises NotFoundError."""
    user = User.objects.filter(email=clean_email(email)).first()
    if user is None:
        raise NotFoundError(f"Nobody logs in as {email!r}.")
    with transaction.atomic():
        removed, _ = Authenticator.objects.select_for_update().filter(user_id=user.id).delete()
    log.warning("second_factors_removed", user=str(user.id), removed=removed)
    return removed


def authenticate_user(
    *, email: str, password: str, tenant_slug: str | None = None, otp: str = ""
) -> Principal | None:
    """Return who logs in, in the named tenant or else the first of theirs; None for wrong credentials.

    Raises SecondFactorRequired without the code that the person's second factor asks for, TooManyCodes, and
    NotAllowed for somebody whose address is not verified, or in a tenant that requires a second factor.
    """
    user = User.objects.filter(email=email.strip().lower(), is_active=True).first()
    if not check_password(password, user.password if user else DUMMY_HASH) or user is None:
        if user is not None:
            record_for_person(user=user, action="login.failed", data={"via": "api"})
        return None
    has_shown_mfa = require_second_factor(user_id=user.id, code=otp)
    if not is_address_verified(user_id=user.id, email=user.email):
        raise NotAllowed("Verify your e-mail address first: log in with a browser and follow the mail.")
    memberships = list_memberships(user_id=user.id)
    chosen = next((m for m in memberships if tenant_slug in (None, m.tenant.slug)), None)
    if chosen is None:
        return None
    principal = _principal(user, chosen, has_shown_mfa)
    with in_tenant(chosen.tenant):
        data = {"via": "api", "second_factor": has_shown_mfa}
        record_audit(
            tenant=chosen.tenant, actor=user.email, action="login.succeeded", target=user.email, data=data
        )
    return principal


def _principal(user: User, membership: MembershipView, has_shown_mfa: bool) -> Principal:
    if membership.requires_mfa and not (has_shown_mfa and has_second_factor(user_id=user.id)):
        raise NotAllowed(
            "This company requires a second factor: set one up in the dashboard under Profile, then get a "
            "new token from auth/token with its code as `otp`."
        )
    principal = principal_of(user_id=user.id, name=user.name, tenant=membership.tenant, role=membership.role)
    return replace(principal, has_shown_mfa=has_shown_mfa)


def _use_totp(factor: Authenticator, code: str) -> bool:
    secret, last = decrypt(factor.data["secret"]), factor.data.get("last_counter", 0)
    for counter in totp.yield_hotp_counters_from_time():
        expected = totp.format_hotp_value(totp.hotp_value(secret, counter))
        if counter > last and compare_user_code(actual=code, expected=expected):
            factor.data["last_counter"] = counter
            factor.save(update_fields=["data"])
            return True
    return False

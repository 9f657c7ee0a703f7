"""Read what is proved of a person, and what the present session still has to show."""

import datetime as dt
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from allauth.account.internal.flows.login import get_authentication_records
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from apps.resilience.errors import NotAllowed

VERIFY_WITHIN = dt.timedelta(days=3)  # until then a new person may look around
SESSION_VERIFIED = "verified_address"  # the address that is known to be theirs
FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)


def is_address_verified(*, user_id: UUID, email: str) -> bool:
    """Tell whether a person has shown that they read the mails of their address."""
    return EmailAddress.objects.filter(user_id=user_id, email=email, verified=True).exists()


def has_second_factor(*, user_id: UUID) -> bool:
    """Tell whether a person has set up a second factor; recovery codes alone are none."""
    return Authenticator.objects.filter(user_id=user_id, type__in=FACTORS).exists()


def is_verified(request: Any) -> bool:
    """Tell the same of who asks; the database is asked until it is so, then the session knows."""
    user = request.user
    if request.session.get(SESSION_VERIFIED) == user.email:
        return True
    if not is_address_verified(user_id=user.id, email=user.email):
        return False
    request.session[SESSION_VERIFIED] = user.email
    return True


def require_verified(request: Any) -> None:
    """Raise NotAllowed for who asks in the name of an address that is not proved to be theirs."""
    if not is_verified(request):
        raise NotAllowed("Verify your e-mail address first: open the link that we mailed, or see Profile.")


def has_shown_second_factor(request: Any) -> bool:
    """Tell whether who asks has shown in this session a second factor, and still has one."""
    shown = any(record["method"] == "mfa" for record in get_authentication_records(request, request.user))
    return shown and has_second_factor(user_id=request.user.id)


def must_show_second_factor(request: Any) -> bool:
    """Tell whether a staff member's session lacks the second factor that this installation asks of staff."""
    return settings.STAFF_REQUIRES_MFA and not has_shown_second_factor(request)


def find_missing_proof(request: Any, *, needs_second_factor: bool) -> str:
    """Return the page where who asks shows what is missing before they may go on, if anything is."""
    if not is_verified(request) and request.user.created_at + VERIFY_WITHIN < timezone.now():
        return reverse("address")
    if needs_second_factor and not has_shown_second_factor(request):
        return find_second_step(user_id=request.user.id)
    return ""


def find_second_step(*, user_id: UUID, then: str = "") -> str:
    """Return the page where a person shows the second factor that they have, or else sets one up."""
    types = set(Authenticator.objects.filter(user_id=user_id).values_list("type", flat=True))
    if Authenticator.Type.TOTP in types:
        page = reverse("mfa_reauthenticate")
    elif Authenticator.Type.WEBAUTHN in types:
        page = reverse("mfa_reauthenticate_webauthn")
    else:
        return reverse("mfa_index")
    return f"{page}?{urlencode({'next': then})}" if then else page

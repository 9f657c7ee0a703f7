"""Prove an e-mail address by a mail, before anything relies on it.

The link of the mail works only for the account that asked for it, while nothing has changed since, for a day.
A new address is stored nowhere until it is proved, so that nobody can occupy one that is not theirs.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from allauth.account.adapter import get_adapter
from allauth.core import ratelimit
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core import signing
from django.db import IntegrityError
from django.http import HttpRequest
from django.urls import reverse

from apps.resilience.errors import ConflictError, NotFoundError
from apps.tenants.identity.selectors import is_address_verified
from apps.tenants.identity.services import keep_address
from apps.tenants.services import clean_email

SALT = "apps.accounts.addresses"
LASTS_S = 86_400
GONE = "This link was used or has expired. Ask for a new one under Profile."


@dataclass(frozen=True)
class Proof:
    """What a mailed link shows: that whoever asks from `user_id`'s account reads the mails of `email`."""

    user_id: UUID
    former: str
    email: str


def mail_proof(request: HttpRequest, *, user: Any, email: str) -> bool:
    """Send the link that proves an address; False where too many went there lately.

    Raises InvalidInput. An address of somebody else's account is written to as well, without a link.
    """
    address = clean_email(email)
    if not ratelimit.consume(request, action="confirm_email", key=address):
        return False
    if address != user.email and get_user_model().objects.filter(email=address).exists():
        get_adapter().send_mail("account/email/address_taken", address, {})
        return True
    token = signing.dumps([str(user.pk), user.email, address], salt=SALT)
    link = f"{settings.PUBLIC_URL.rstrip('/')}{reverse('prove_address', args=[token])}"
    get_adapter().send_mail(
        "account/email/prove_address", address, {"link": link, "is_new": address != user.email}
    )
    return True


def read_proof(token: str) -> Proof:
    """Return what a link shows; raises NotFoundError for one that is forged, expired or used."""
    try:
        user_id, former, email = signing.loads(token, salt=SALT, max_age=LASTS_S)
    except signing.BadSignature as error:
        raise NotFoundError(GONE) from error
    proof = Proof(UUID(user_id), former, email)
    is_used = former == email and is_address_verified(user_id=proof.user_id, email=email)
    if (
        is_used
        or not get_user_model().objects.filter(id=proof.user_id, email=former, is_active=True).exists()
    ):
        raise NotFoundError(GONE)
    return proof


def accept_proof(proof: Proof) -> None:
    """Make the proved address the account's; raises ConflictError for one that somebody else has by now."""
    try:
        keep_address(user_id=proof.user_id, email=proof.email, is_verified=True)
    except IntegrityError as error:
        raise ConflictError("Another account has this address by now.") from error
    if proof.former != proof.email:
        user = get_user_model().objects.get(id=proof.user_id)
        changed = {"from_email": proof.former, "to_email": proof.email}
        get_adapter().send_notification_mail("account/email/email_changed", user, changed, email=proof.former)

"""Keep the one address of a person."""

from uuid import UUID

from allauth.account.models import EmailAddress
from django.db import transaction

from apps.tenants.models import User


def keep_address(*, user_id: UUID, email: str, is_verified: bool) -> None:
    """Make an address the person's only one; a change of it ends what was known of the former one."""
    with transaction.atomic():
        User.objects.select_for_update().get(id=user_id)
        EmailAddress.objects.filter(user_id=user_id).exclude(email=email).delete()
        User.objects.filter(id=user_id).exclude(email=email).update(email=email)
        fields = {"verified": is_verified, "primary": True}
        EmailAddress.objects.update_or_create(user_id=user_id, email=email, defaults=fields)

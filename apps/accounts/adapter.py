"""Where allauth's mails lead, and how people prove that they still are who logged in."""

from smtplib import SMTPException
from typing import Any

import structlog
from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.urls import reverse

log = structlog.get_logger(__name__)


class PublicAdapter(DefaultAccountAdapter):
    """Builds the links of mails from PUBLIC_URL, and lets nothing fail because a mail cannot be sent."""

    def get_reset_password_from_key_url(self, key: str) -> str:
        return _public(reverse("account_reset_password_from_key", args=key.split("-", 1)))

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        links = {f"{name}_url": _public(reverse(f"account_{name}")) for name in ("signup", "login")}
        try:
            super().send_mail(template_prefix, email, {**context, **links})
        except (SMTPException, OSError) as error:
            log.error("mail_not_sent", template=template_prefix, error=repr(error))

    def get_reauthentication_methods(self, user: AbstractBaseUser | AnonymousUser) -> list[dict[str, Any]]:
        """Offer no password to whoever has a second factor: it would remove that factor."""
        methods: list[dict[str, Any]] = super().get_reauthentication_methods(user)
        stronger = [method for method in methods if method["id"] != "reauthenticate"]
        return stronger or methods


def _public(path: str) -> str:
    return f"{settings.PUBLIC_URL.rstrip('/')}{path}"

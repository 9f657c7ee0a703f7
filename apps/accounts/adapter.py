"""Where allauth's mails lead: to the product's public address, whatever host the request named."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.urls import reverse


class PublicAdapter(DefaultAccountAdapter):
    """Builds the links of mails from PUBLIC_URL."""

    def get_reset_password_from_key_url(self, key: str) -> str:
        return _public(reverse("account_reset_password_from_key", args=key.split("-", 1)))

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        super().send_mail(
            template_prefix, email, {**context, "signup_url": _public(reverse("account_signup"))}
        )


def _public(path: str) -> str:
    return f"{settings.PUBLIC_URL.rstrip('/')}{path}"

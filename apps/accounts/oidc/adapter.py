"""Whom a provider's word lets in, and how a new person comes to their company."""

from typing import Any

from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.contrib import messages
from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.shortcuts import redirect

from apps.tenants.identity.selectors import is_address_verified, is_verified

TAKEN = (
    "There is an account with this address. Log in to it with its password, or reset that; "
    "then connect {provider} under Profile."
)


class CarefulAdapter(DefaultSocialAccountAdapter):
    """Lets nobody into an account by an address that either side has not verified."""

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        """Refuse to connect before the account's own address is proved: a stranger may have made it."""
        wants_to_connect = sociallogin.state.get("process") == "connect"
        if wants_to_connect and request.user.is_authenticated and not is_verified(request):
            messages.warning(request, "Verify your e-mail address first; then connect another log-in.")
            raise ImmediateHttpResponse(redirect("address"))
        if not sociallogin.is_existing and not wants_to_connect and _is_taken(sociallogin):
            messages.warning(request, TAKEN.format(provider=sociallogin.provider.name))
            raise ImmediateHttpResponse(redirect("account_login"))

    def authenticate_by_email(self, sociallogin: Any) -> Any:
        """Return the account whose proved address a trusted provider vouches for, or None."""
        found = super().authenticate_by_email(sociallogin)
        if found is None or not is_address_verified(user_id=found[0].pk, email=found[1]):
            return None
        return found

    def populate_user(self, request: HttpRequest, sociallogin: Any, data: dict[str, Any]) -> Any:
        user: Any = super().populate_user(request, sociallogin, data)
        user.email, user.name = user.email.lower(), str(data.get("name") or "")[:200]
        return user


def _is_taken(sociallogin: Any) -> bool:
    return (
        bool(sociallogin.user.email)
        and get_user_model().objects.filter(email=sociallogin.user.email).exists()
    )

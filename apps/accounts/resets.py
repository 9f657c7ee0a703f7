"""A new password by a mailed link, which also proves the address that the mail went to."""

from typing import Any

from allauth.account import views
from django.http import HttpResponse

from apps.tenants.identity.services import keep_address


class ChooseNewPassword(views.PasswordResetFromKeyView):
    """Ends the other sessions, as every change of a password does, and verifies the address."""

    def form_valid(self, form: Any) -> HttpResponse:
        response: HttpResponse = super().form_valid(form)
        user = self.reset_user
        keep_address(user_id=user.pk, email=user.email, is_verified=True)
        return response

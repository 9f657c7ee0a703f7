"""Set up, show, rename and remove second factors; allauth's views, and what they leave out."""

from typing import Any
from uuid import UUID

from allauth.account.internal.flows.login import record_authentication
from allauth.mfa.base import views as base
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes import views as recovery_codes
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as webauthn
from django.conf import settings
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse_lazy
from django.views.decorators.cache import never_cache

from apps.tenants.identity.services import use_code
from apps.tenants.selectors import list_memberships


class ShowFactors(base.IndexView):
    """The factors, and who asks for them."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user: Any = self.request.user
        required_by = [m.tenant_name for m in list_memberships(user_id=user.id) if m.requires_mfa]
        if user.is_staff and settings.STAFF_REQUIRES_MFA:
            required_by.append("The platform's staff area")
        return {**super().get_context_data(**kwargs), "required_by": required_by}


class ActivateTotp(totp.ActivateTOTPView):
    """The code that sets up an app has shown it to this session, and cannot log in anybody again."""

    def form_valid(self, form: Any) -> HttpResponse:
        response: HttpResponse = super().form_valid(form)
        use_code(user_id=UUID(str(self.request.user.pk)), code=form.cleaned_data["code"])
        record_authentication(self.request, self.request.user, "mfa", type=Authenticator.Type.TOTP.value)
        return response


class AddPasskey(webauthn.AddWebAuthnView):
    """Setting up a passkey has shown it to this session."""

    def form_valid(self, form: Any) -> HttpResponse:
        response: HttpResponse = super().form_valid(form)
        record_authentication(self.request, self.request.user, "mfa", type=Authenticator.Type.WEBAUTHN.value)
        return response


class ConfirmPasskey(webauthn.ReauthenticateWebAuthnView):
    """What fails is tried again here, rather than at the log-in."""

    def form_invalid(self, form: Any) -> HttpResponse:
        super().form_invalid(form)  # leaves its message
        return HttpResponseRedirect(self.request.get_full_path())


class RenamePasskey(webauthn.EditWebAuthnView):
    success_url = reverse_lazy("mfa_index")


class RemovePasskey(webauthn.RemoveWebAuthnView):
    success_url = reverse_lazy("mfa_index")


def _page(route: str, view: Any, name: str) -> URLPattern:
    return path(f"second-step/{route}", never_cache(view), name=name)


urlpatterns = [
    _page("", ShowFactors.as_view(), "mfa_index"),
    _page("log-in/", base.authenticate, "mfa_authenticate"),
    _page("confirm/", base.reauthenticate, "mfa_reauthenticate"),
    _page("app/add/", ActivateTotp.as_view(), "mfa_activate_totp"),
    _page("app/remove/", totp.deactivate_totp, "mfa_deactivate_totp"),
    _page("passkeys/add/", AddPasskey.as_view(), "mfa_add_webauthn"),
    _page("passkeys/log-in/", webauthn.login_webauthn, "mfa_login_webauthn"),
    _page("passkeys/confirm/", ConfirmPasskey.as_view(), "mfa_reauthenticate_webauthn"),
    _page("passkeys/<int:pk>/rename/", RenamePasskey.as_view(), "mfa_edit_webauthn"),
    _page("passkeys/<int:pk>/remove/", RemovePasskey.as_view(), "mfa_remove_webauthn"),
    _page("recovery-codes/", recovery_codes.view_recovery_codes, "mfa_view_recovery_codes"),
    _page("recovery-codes/new/", recovery_codes.generate_recovery_codes, "mfa_generate_recovery_codes"),
]

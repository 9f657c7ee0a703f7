"""allauth's forms of second factors: each code works once, and what no browser sends is a wrong code."""

import struct
from typing import Any
from uuid import UUID

from allauth.mfa.base import forms as codes
from allauth.mfa.base.internal.flows import check_rate_limit
from allauth.mfa.totp import forms as totp
from allauth.mfa.webauthn import forms as webauthn
from django import forms
from django.core.exceptions import ValidationError

from apps.accounts.factors.adapter import SealingAdapter
from apps.tenants.identity.services import use_code

NAME_CHARS = 60


def code_field(label: str) -> forms.CharField:
    """Return the field of a code, for phones and password managers as well."""
    attributes = {"autocomplete": "one-time-code", "inputmode": "numeric", "autofocus": True}
    return forms.CharField(label=label, max_length=40, widget=forms.TextInput(attributes))


class _CodeForm(codes.BaseAuthenticateForm):
    code = code_field("Code")

    def clean_code(self) -> str:
        forgive = check_rate_limit(self.user)
        code: str = self.cleaned_data["code"]
        factor = use_code(user_id=UUID(str(self.user.pk)), code=code)
        if factor is None:
            raise SealingAdapter().validation_error("incorrect_code")
        factor.user = self.user
        self.authenticator = factor
        forgive()
        return code


class AuthenticateForm(_CodeForm, codes.AuthenticateForm):
    """The second step of a log-in."""


class ReauthenticateForm(_CodeForm, codes.ReauthenticateForm):
    """The proof that it is still the same person."""


class ActivateTotpForm(totp.ActivateTOTPForm):
    code = code_field("Code of the app")


class _UntrustedCredential(forms.Form):
    """A browser's answer goes to a parser that raises all sorts of errors for what no browser sends."""

    def _clean_fields(self) -> None:
        self._guard(super()._clean_fields)  # type: ignore[misc]

    def clean(self) -> Any:
        return self._guard(super().clean)

    def _guard(self, check: Any) -> Any:
        try:
            return check()
        except ValidationError:
            raise
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, struct.error):
            self.add_error("credential", SealingAdapter().validation_error("incorrect_code"))
            return self.cleaned_data


class AddPasskeyForm(_UntrustedCredential, webauthn.AddWebAuthnForm):
    name = forms.CharField(required=False, max_length=NAME_CHARS, help_text="Such as: work laptop.")
    passwordless = forms.BooleanField(
        label="Log in with it alone, without the password",
        required=False,
        initial=True,
        help_text="It then asks for your fingerprint, face or PIN.",
    )


class RenamePasskeyForm(webauthn.EditWebAuthnForm):
    name = forms.CharField(max_length=NAME_CHARS)


class AuthenticatePasskeyForm(_UntrustedCredential, webauthn.AuthenticateWebAuthnForm):
    """The second step of a log-in."""


class LoginPasskeyForm(_UntrustedCredential, webauthn.LoginWebAuthnForm):
    """A log-in without a password."""


class ReauthenticatePasskeyForm(_UntrustedCredential, webauthn.ReauthenticateWebAuthnForm):
    """The proof that it is still the same person."""

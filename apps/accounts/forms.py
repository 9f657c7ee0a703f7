"""What a new customer fills in."""

from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpRequest

from apps.accounts.addresses import mail_proof
from apps.accounts.services import request_company
from apps.tenants.identity.selectors import is_address_verified
from apps.tenants.selectors import list_time_zones


class CompanyForm(forms.Form):
    company = forms.CharField(
        label="Company name",
        min_length=2,
        max_length=200,
        widget=forms.TextInput({"autocomplete": "organization"}),
    )
    time_zone = forms.ChoiceField(
        choices=list_time_zones, initial="UTC", widget=forms.Select({"data-guess-time-zone": ""})
    )


class AddressForm(forms.Form):
    email = forms.EmailField(
        label="New e-mail address", max_length=254, widget=forms.EmailInput({"autocomplete": "email"})
    )


class SignUpFields(CompanyForm):
    """What allauth's form asks beside address and password."""

    field_order = ("email", "password1", "company", "time_zone")

    def signup(self, request: HttpRequest, user: Any) -> None:
        """Ask for the company of a person who has just been stored, and for the proof of their address."""
        self.ask_for_company(user)
        if not is_address_verified(user_id=user.pk, email=user.email):
            mail_proof(request, user=user, email=user.email)

    def ask_for_company(self, user: Any) -> None:
        """Ask for the company of a person who has just been stored."""
        request_company(
            user_id=UUID(str(user.pk)),
            company=self.cleaned_data["company"],
            time_zone=self.cleaned_data["time_zone"],
        )

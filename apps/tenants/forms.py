"""What members fill in about their company and themselves."""

import datetime as dt
from itertools import groupby
from typing import Any

from django import forms
from django.utils import timezone

from apps.tenants.company import MAX_NAME, MAX_SILENCE_HOURS
from apps.tenants.contracts import Role
from apps.tenants.permissions import TABLE, expand_scopes
from apps.tenants.selectors import list_time_zones

ROLES = [
    (Role.VIEWER.value, "Viewer: sees, changes nothing"),
    (Role.ANALYST.value, "Analyst: a viewer who also sees usage"),
    (Role.AGENT.value, "Agent: answers customers, works with orders and leads"),
    (Role.ADMIN.value, "Admin: everything but what is the owners' alone"),
    (
        Role.OWNER.value,
        "Owner: also the plan, other owners and the end of the company; there is at least one",
    ),
]


def name_field() -> forms.CharField:
    """Return the field of a person's own name."""
    widget = forms.TextInput({"autocomplete": "name"})
    return forms.CharField(label="Your name", max_length=200, widget=widget)


class InviteForm(forms.Form):
    email = forms.EmailField(label="E-mail address", max_length=254)
    role = forms.ChoiceField(choices=ROLES, initial=Role.AGENT.value)


class RestoreForm(forms.Form):
    email = forms.EmailField(max_length=254)


class AcceptForm(forms.Form):
    """For a person without an account; the others only press the button."""

    name = forms.CharField(
        label="Your name", max_length=200, widget=forms.TextInput({"autocomplete": "name"})
    )
    password = forms.CharField(
        strip=False,
        max_length=128,
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
        help_text="At least 8 characters, not a common word.",
    )


class SettingsForm(forms.Form):
    name = forms.CharField(label="Company name", max_length=MAX_NAME)
    time_zone = forms.ChoiceField(
        choices=list_time_zones, help_text="Days and billing periods begin at midnight of this zone."
    )
    silence_hours = forms.IntegerField(
        label="Hours of silence that count as solved",
        min_value=1,
        max_value=MAX_SILENCE_HOURS,
        help_text="A conversation that the AI answered and the customer did not come back to is assumed "
        "to be resolved after this time.",
    )


class DomainForm(forms.Form):
    name = forms.CharField(
        label="Domain",
        max_length=253,
        help_text="A subdomain of your site that shall lead to your chat, such as help.shop.example.",
        widget=forms.TextInput({"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
    )


class ProfileForm(forms.Form):
    name = forms.CharField(
        label="Your name", max_length=200, widget=forms.TextInput({"autocomplete": "name"})
    )
    wants_mail = forms.BooleanField(
        label="Mail me when a customer waits for a person",
        required=False,
        help_text="In this company, where its workflow asks for mail.",
    )


class AuditFilter(forms.Form):
    words = forms.CharField(
        label="Words", required=False, max_length=200, widget=forms.TextInput({"type": "search"})
    )
    action = forms.CharField(
        label="What", required=False, max_length=100, widget=forms.TextInput({"list": "known-actions"})
    )
    actor = forms.CharField(label="Who", required=False, max_length=100)
    target = forms.CharField(label="Concerning", required=False, max_length=200)
    since = forms.DateField(
        label="From", required=False, widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d")
    )
    until = forms.DateField(
        label="To", required=False, widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d")
    )

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = self.cleaned_data
        if given.get("until") == dt.date.max:
            self.add_error("until", "Choose an earlier day.")
        if given.get("since") and given.get("until") and given["until"] < given["since"]:
            self.add_error("until", "Choose a day that is not before the first one.")
        return given


SCOPES = [
    ("Everything", [("api:read", "Read everything"), ("api:write", "Read and write as an admin does")]),
    *(
        (
            thing.replace("_", " ").capitalize().replace("Api", "API"),
            [(row.name, row.name.partition(":")[0].capitalize()) for row in rows],
        )
        for thing, rows in groupby(TABLE, key=lambda row: row.name.partition(":")[2])
    ),
]
MAX_KEY_DAYS = 5 * 365


class ApiKeyForm(forms.Form):
    """A new key; of its maker's `held` permissions only those are offered that they can hand on."""

    name = forms.CharField(max_length=100, help_text="Who or what uses it, such as: nightly order import.")
    scopes = forms.MultipleChoiceField(
        label="What it may do",
        choices=SCOPES,
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Tick at least one."},
    )
    requests_per_minute = forms.IntegerField(
        label="Requests a minute at most",
        required=False,
        min_value=1,
        max_value=1_000_000,
        help_text="Beside the plan's limit, which all keys share; empty for no limit of its own.",
    )
    expires_on = forms.DateField(
        label="Last day",
        required=False,
        widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d"),
        help_text="It works until the end of this day in UTC; without a day, until it is revoked.",
    )

    def __init__(self, *args: Any, held: frozenset[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offered = [
            (title, [scope for scope in scopes if expand_scopes([scope[0]]) <= held])
            for title, scopes in SCOPES
        ]
        # What is not offered stays a choice: whoever sends it is told why they cannot give it.
        self.fields["scopes"].widget.choices = [group for group in offered if group[1]]

    def clean_expires_on(self) -> dt.date | None:
        day: dt.date | None = self.cleaned_data["expires_on"]
        if day is not None and not 0 <= (day - timezone.now().date()).days <= MAX_KEY_DAYS:
            raise forms.ValidationError("Choose a day from today on, at most five years ahead.")
        return day


class RotateKeyForm(forms.Form):
    overlap_s = forms.TypedChoiceField(
        label="The old key works for",
        coerce=int,
        choices=[(3600, "One hour"), (86_400, "One day"), (604_800, "Seven days"), (0, "Not a moment more")],
        initial=86_400,
    )


class DeletionForm(forms.Form):
    typed_name = forms.CharField(
        max_length=200,
        label="Type the company's name to confirm",
        widget=forms.TextInput({"autocomplete": "off"}),
    )

"""What members fill in about their company and themselves."""

from django import forms

from apps.tenants.contracts import Role
from apps.tenants.selectors import list_time_zones

ROLES = [
    (Role.VIEWER.value, "Viewer: sees, changes nothing"),
    (Role.ANALYST.value, "Analyst: a viewer who also sees usage"),
    (Role.AGENT.value, "Agent: answers customers, works with orders and leads"),
    (Role.ADMIN.value, "Admin: everything"),
    (Role.OWNER.value, "Owner: everything; a company has at least one"),
]


def name_field() -> forms.CharField:
    """Return the field of a person's own name."""
    widget = forms.TextInput({"autocomplete": "name"})
    return forms.CharField(label="Your name", max_length=200, widget=widget)


class InviteForm(forms.Form):
    email = forms.EmailField(label="E-mail address", max_length=254)
    role = forms.ChoiceField(choices=ROLES, initial=Role.AGENT.value)


class RoleForm(forms.Form):
    role = forms.ChoiceField(choices=ROLES)


class RestoreForm(RoleForm):
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
    name = forms.CharField(label="Company name", max_length=200)
    time_zone = forms.ChoiceField(
        choices=list_time_zones, help_text="Days and billing periods begin at midnight of this zone."
    )
    silence_hours = forms.IntegerField(
        label="Hours of silence that count as solved",
        min_value=1,
        max_value=720,
        help_text="A conversation that the AI answered and the customer did not come back to is assumed "
        "to be resolved after this time.",
    )


class ProfileForm(forms.Form):
    name = forms.CharField(
        label="Your name", max_length=200, widget=forms.TextInput({"autocomplete": "name"})
    )


class AuditFilter(forms.Form):
    action = forms.CharField(required=False, max_length=100)
    actor = forms.CharField(label="Who", required=False, max_length=100)
    since = forms.DateField(
        label="From", required=False, widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d")
    )
    until = forms.DateField(
        label="To", required=False, widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d")
    )

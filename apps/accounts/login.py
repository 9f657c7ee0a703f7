"""allauth's log-in form, without the link that it puts between a label and its field."""

from typing import Any

from allauth.account import forms


class LoginForm(forms.LoginForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password"].help_text = ""
        self.fields["remember"].label = "Stay logged in on this device"

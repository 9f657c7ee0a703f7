"""What a person who comes with a provider still has to tell."""

from typing import Any

from allauth.socialaccount.forms import SignupForm


class ProviderSignUpForm(SignupForm):
    """The address is the provider's word, not to be typed over."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.initial.get("email"):
            self.fields["email"].disabled = True

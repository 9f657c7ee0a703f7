"""What a member gives to the router."""

from typing import Any

from django import forms

from apps.routing.contracts import Origin
from apps.routing.models import MAX_TEXT_CHARS

MAX_PASTE_CHARS = 500_000
ORIGINS = [("", "Any"), *((origin.value, origin.label) for origin in Origin)]


class TryForm(forms.Form):
    text = forms.CharField(
        label="What would a customer write?",
        max_length=MAX_TEXT_CHARS,
        widget=forms.TextInput({"type": "search", "autocomplete": "off"}),
    )


class ExamplesForm(forms.Form):
    """Examples, one a line."""

    examples = forms.CharField(
        label="Examples, one a line",
        max_length=MAX_PASTE_CHARS,
        widget=forms.Textarea({"rows": 6}),
        help_text="What customers write when they want this, in their own words.",
    )

    def lines(self) -> list[str]:
        """Return the lines as they stand, the empty ones too: refusals speak of their numbers."""
        return self.cleaned_data["examples"].splitlines()


class IntentForm(forms.Form):
    name = forms.CharField(
        max_length=50,
        help_text="Small letters, digits and underscores, as in order_status. Workflows compare with it.",
        widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false"}),
    )
    description = forms.CharField(required=False, max_length=300)
    examples = forms.CharField(
        label="Examples, one a line",
        required=False,
        max_length=MAX_PASTE_CHARS,
        widget=forms.Textarea({"rows": 6}),
        help_text="At least 5 before the next training. An example of another intent moves here.",
    )

    def clean_examples(self) -> list[str]:
        return [line for line in self.cleaned_data["examples"].splitlines() if line.strip()]


class DescriptionForm(forms.Form):
    description = forms.CharField(required=False, max_length=300)


class ExampleForm(forms.Form):
    text = forms.CharField(max_length=MAX_TEXT_CHARS, widget=forms.Textarea({"rows": 3}))
    intent = forms.ChoiceField()

    def __init__(self, *args: Any, intents: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["intent"].choices = [(name, name) for name in intents]  # type: ignore[attr-defined]


class ExampleFilter(forms.Form):
    q = forms.CharField(
        label="Text", required=False, max_length=200, widget=forms.TextInput({"type": "search"})
    )
    origin = forms.ChoiceField(choices=ORIGINS, required=False)

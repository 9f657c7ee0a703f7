"""What people fill in on the pages of conversations and of the inbox."""

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator

from apps.conversations.contracts import ChannelKind, ConversationQuery, ConversationStatus, DecisionQuery
from apps.conversations.validation import MAX_MESSAGE_CHARS

STATUS_LABELS = {
    ConversationStatus.OPEN: "Open",
    ConversationStatus.ESCALATED: "Waits for a person",
    ConversationStatus.WITH_AGENT: "With a person",
    ConversationStatus.CLOSED: "Closed",
}
CHANNEL_LABELS = {
    ChannelKind.WIDGET: "Widget",
    ChannelKind.API: "API",
    ChannelKind.EMAIL: "E-mail",
    ChannelKind.SLACK: "Slack",
    ChannelKind.WEBHOOK: "Webhook",
}
ANY = ("", "Any")
SENSIBLE = [MinValueValidator(dt.date(2000, 1, 1)), MaxValueValidator(dt.date(2999, 12, 31))]


class DateInput(forms.DateInput):
    input_type = "date"


class PeriodForm(forms.Form):
    """Two days of the company's time zone, either of which may be left out."""

    since = forms.DateField(label="From", required=False, widget=DateInput, validators=SENSIBLE)
    until = forms.DateField(label="To", required=False, widget=DateInput, validators=SENSIBLE)

    def __init__(self, *args: Any, time_zone: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._zone = ZoneInfo(time_zone)

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        since, until = cleaned.get("since"), cleaned.get("until")
        if since and until and until < since:
            self.add_error("until", "Give a day that is not before the first one.")
        return cleaned

    def period(self) -> dict[str, dt.datetime | None]:
        """Return from when and until when; the last day counts to its end."""
        since, until = self.cleaned_data["since"], self.cleaned_data["until"]
        return {
            "since": since and self._midnight(since),
            "until": until and self._midnight(until + dt.timedelta(days=1)),
        }

    def _midnight(self, day: dt.date) -> dt.datetime:
        return dt.datetime.combine(day, dt.time.min, self._zone)


class ConversationSearch(PeriodForm):
    """Filters of the list, as a GET form."""

    text = forms.CharField(
        label="Text",
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"type": "search", "placeholder": "Words in messages"}),
    )
    customer = forms.CharField(
        label="Customer",
        required=False,
        max_length=254,
        widget=forms.TextInput(attrs={"placeholder": "Name or e-mail"}),
    )
    intent = forms.ChoiceField(label="Intent", required=False)
    channel = forms.ChoiceField(
        label="Channel", required=False, choices=[ANY, *((k.value, v) for k, v in CHANNEL_LABELS.items())]
    )
    status = forms.ChoiceField(
        label="Status", required=False, choices=[ANY, *((k.value, v) for k, v in STATUS_LABELS.items())]
    )
    unanswered = forms.BooleanField(label="Unanswered", required=False)
    field_order = ["text", "customer", "intent", "channel", "status", "since", "until", "unanswered"]

    def __init__(self, *args: Any, intents: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [ANY, *((name, name) for name in intents)]
        self.fields["intent"].choices = choices  # type: ignore[attr-defined]

    def query(self) -> ConversationQuery:
        """Return what is wanted."""
        return ConversationQuery(**{**self.cleaned_data, **self.period()})


class DecisionSearch(PeriodForm):
    """Filters of the router's decisions, as a GET form."""

    intent = forms.ChoiceField(label="Intent", required=False)
    channel = forms.ChoiceField(
        label="Channel", required=False, choices=[ANY, *((k.value, v) for k, v in CHANNEL_LABELS.items())]
    )
    below = forms.ChoiceField(
        label="Confidence",
        required=False,
        choices=[ANY, *((str(limit), f"Below {limit}%") for limit in (30, 50, 70, 90))],
    )
    corrected = forms.ChoiceField(
        label="Corrected", required=False, choices=[ANY, ("yes", "Corrected"), ("no", "Not corrected")]
    )
    field_order = ["intent", "channel", "below", "corrected", "since", "until"]

    def __init__(self, *args: Any, intents: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [ANY, *((name, name) for name in intents)]
        self.fields["intent"].choices = choices  # type: ignore[attr-defined]

    def query(self) -> DecisionQuery:
        """Return what is wanted."""
        given = self.cleaned_data
        return DecisionQuery(
            intent=given["intent"],
            channel=given["channel"],
            below=int(given["below"]) / 100 if given["below"] else None,
            is_corrected={"yes": True, "no": False}.get(given["corrected"]),
            **self.period(),
        )


class ReplyForm(forms.Form):
    """A message to the customer: `key` makes a second click harmless, `seen` is the last one on the page."""

    text = forms.CharField(
        label="Reply",
        max_length=MAX_MESSAGE_CHARS,
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": "Write to the customer"}),
    )
    key = forms.UUIDField(widget=forms.HiddenInput)
    seen = forms.IntegerField(min_value=0, max_value=2**31 - 1, required=False, widget=forms.HiddenInput)


class HandBackForm(forms.Form):
    text = forms.CharField(
        label="What the customer reads",
        max_length=MAX_MESSAGE_CHARS,
        initial="Our assistant goes on from here. Whenever you want a person again, just say so.",
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    key = forms.UUIDField(widget=forms.HiddenInput)


class NoteForm(forms.Form):
    text = forms.CharField(
        label="Private note",
        max_length=MAX_MESSAGE_CHARS,
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": "Only your colleagues see this"}),
    )


class ResolveForm(forms.Form):
    resolution = forms.CharField(
        label="How was it resolved?",
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2}),
    )


class CannedReplyForm(forms.Form):
    shortcut = forms.CharField(
        label="Shortcut",
        max_length=40,
        help_text="Small letters, digits and hyphens: what you type after /.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    text = forms.CharField(
        label="Text",
        max_length=MAX_MESSAGE_CHARS,
        help_text="{customer_name}, {agent_name} and {company_name} are filled in.",
        widget=forms.Textarea(attrs={"rows": 4}),
    )

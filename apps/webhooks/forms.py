"""What members say about the endpoints of their own systems."""

from __future__ import annotations

from django import forms

from apps.webhooks.catalog import PUBLIC_EVENTS
from apps.webhooks.contracts import ALL_TYPES, TEST_TYPE, DeliveryStatus

STATUSES = [("", "All"), *((status.value, status.value.title()) for status in DeliveryStatus)]
TYPES = [(event.type, event.type) for event in PUBLIC_EVENTS]
DAY_S = 86_400


class EndpointForm(forms.Form):
    url = forms.CharField(
        label="Address",
        max_length=2048,
        help_text="Of your own system, reachable by everyone; https unless you only try.",
        widget=forms.URLInput({"autocomplete": "off", "placeholder": "https://shop.example/webhooks"}),
    )
    description = forms.CharField(required=False, max_length=200, label="Description, for your team")
    event_types = forms.MultipleChoiceField(
        label="Events",
        choices=[
            (ALL_TYPES, "All of them, also those that come later"),
            *((event.type, f"{event.type}: {event.summary}") for event in PUBLIC_EVENTS),
        ],
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose at least one event."},
    )


class RotateForm(forms.Form):
    overlap_s = forms.TypedChoiceField(
        label="The present secret also signs for",
        coerce=int,
        choices=[(3600, "One hour"), (DAY_S, "One day"), (7 * DAY_S, "Seven days"), (0, "Not a moment more")],
        initial=DAY_S,
    )


class TestForm(forms.Form):
    event_type = forms.ChoiceField(
        label="Event", required=False, choices=[("", f"{TEST_TYPE}, which says that it is a test"), *TYPES]
    )


class DeliveryFilter(forms.Form):
    status = forms.ChoiceField(choices=STATUSES, required=False)
    event_type = forms.ChoiceField(label="Event", choices=[("", "All"), *TYPES], required=False)

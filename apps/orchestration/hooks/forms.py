"""What members say about webhook endpoints."""

from __future__ import annotations

from django import forms

from apps.orchestration.hooks.contracts import DeliveryStatus, HookAction

MAX_BODY_CHARS = 65_536
STATUSES = [("", "All"), *((status.value, status.value.title()) for status in DeliveryStatus)]
DAY_S = 86_400


class EndpointForm(forms.Form):
    name = forms.CharField(
        max_length=63,
        help_text="The last part of its address: a-z, 0-9, - and _.",
        widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false", "placeholder": "support"}),
    )
    action = forms.ChoiceField(
        label="A delivery",
        choices=[
            (HookAction.WORKFLOWS.value, "starts the workflows that listen to it"),
            (HookAction.MESSAGE.value, "is a customer's message, answered like any other"),
        ],
        widget=forms.RadioSelect,
        initial=HookAction.WORKFLOWS.value,
    )


class RotateForm(forms.Form):
    overlap_s = forms.TypedChoiceField(
        label="The present secret works for",
        coerce=int,
        choices=[
            (3600, "One hour"),
            (DAY_S, "One day"),
            (7 * DAY_S, "Seven days"),
            (0, "Not a moment more"),
        ],
        initial=DAY_S,
    )


class TryForm(forms.Form):
    """`key` names the delivery, so that a form that is sent twice is one delivery."""

    body = forms.CharField(
        label="Body, as JSON",
        max_length=MAX_BODY_CHARS,
        strip=False,
        widget=forms.Textarea({"rows": 10, "class": "code", "spellcheck": "false"}),
    )
    key = forms.RegexField(r"[0-9a-f]{32}", max_length=32, widget=forms.HiddenInput)


class DeliveryFilter(forms.Form):
    status = forms.ChoiceField(choices=STATUSES, required=False)

"""What members say about tools and MCP servers."""

from __future__ import annotations

import json
from typing import Any

from django import forms

from apps.orchestration.mcp.contracts import McpEffect

EFFECTS = [
    (McpEffect.NEITHER.value, "does something that must not happen twice"),
    (McpEffect.IDEMPOTENT.value, "may be called again with the same effect key"),
    (McpEffect.NONE.value, "only reads"),
]


class ToolForm(forms.Form):
    is_enabled = forms.BooleanField(label="Workflows may use it", required=False)
    config = forms.CharField(
        label="Settings, as JSON",
        required=False,
        max_length=20_000,
        widget=forms.Textarea({"rows": 8, "class": "code", "spellcheck": "false"}),
        help_text="What is named token, secret, password or Authorization is sealed; ••• leaves it as it is.",
    )

    def clean_config(self) -> dict[str, Any]:
        try:
            config = json.loads(self.cleaned_data["config"] or "{}")
        except ValueError as error:
            raise forms.ValidationError(f"This is not JSON: {error}") from None
        if not isinstance(config, dict):
            raise forms.ValidationError('Write an object, like {"name": "value"}.')
        return config


class _HeadersField(forms.CharField):
    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        headers = {}
        for line in filter(None, map(str.strip, text.splitlines())):
            name, sign, content = line.partition(":")
            if not sign or not name.strip() or not content.strip():
                raise forms.ValidationError("Write each as one line: Name: value")
            headers[name.strip()] = content.strip()
        return headers


class ServerForm(forms.Form):
    name = forms.CharField(
        max_length=31,
        help_text="Workflows write mcp.NAME.TOOL: a-z, 0-9 and _.",
        widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false", "placeholder": "desk"}),
    )
    url = forms.CharField(
        label="Address",
        max_length=2048,
        widget=forms.URLInput({"autocomplete": "off", "placeholder": "https://mcp.example.com/mcp"}),
        help_text="Where it speaks MCP over streamable HTTP.",
    )
    headers = _HeadersField(
        required=False,
        max_length=10_000,
        widget=forms.Textarea({"rows": 2, "class": "code", "spellcheck": "false", "autocomplete": "off"}),
        help_text="Such as Authorization: Bearer …, one a line. They are kept sealed and never shown again.",
    )


class ServerChangeForm(ServerForm):
    """An empty `headers` leaves those that there are."""

    name = None  # type: ignore[assignment]
    is_enabled = forms.BooleanField(label="Workflows may use its tools", required=False)


class ApproveForm(forms.Form):
    digest = forms.RegexField(r"[0-9a-f]{64}", max_length=64, widget=forms.HiddenInput)
    effect = forms.ChoiceField(choices=EFFECTS)


class CalleeForm(forms.Form):
    policy = forms.CharField(max_length=63)
    name = forms.CharField(max_length=300, required=False)

"""What members ask of rehearsals."""

from __future__ import annotations

from typing import Any

from django import forms

from apps.orchestration.definitions.contracts import InputDefinition, WorkflowDefinition
from apps.orchestration.definitions.language.compiler import InvalidWorkflow
from apps.orchestration.definitions.services import preview_workflow
from apps.orchestration.rehearsals.contracts import Against, Change
from apps.orchestration.rehearsals.selectors import MAX_CASES
from apps.tenants.contracts import TenantRef

INPUT = "input_"
MAX_TEXT, MAX_JSON, MAX_INT = 20_000, 20_000, 2**53
CHANGES = [
    ("", "All"),
    (Change.CHANGED.value, "Changed"),
    (Change.FAILURE.value, "New failures"),
    (Change.ROUTE.value, "Another route"),
    (Change.ESCALATION.value, "Escalated or not"),
    (Change.ANSWER.value, "Another answer"),
    (Change.CALLS.value, "Other calls"),
    (Change.STEPS.value, "Other steps"),
    (Change.MENDED.value, "Failed before"),
    (Change.SAME.value, "The same"),
]


class TryForm(forms.Form):
    """A message and the inputs that a workflow declares."""

    text = forms.CharField(
        label="Message",
        required=False,
        max_length=MAX_TEXT,
        widget=forms.Textarea({"rows": 3}),
        help_text="What a customer would write.",
    )

    def __init__(self, *args: Any, definition: WorkflowDefinition | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for declared in definition.inputs if definition else ():
            self.fields[INPUT + declared.name] = _field(declared)

    @property
    def given(self) -> dict[str, Any]:
        """Return the input as a run gets it: what was left empty is not given."""
        said = {name: value for name, value in self.cleaned_data.items() if value not in (None, "")}
        return {name.removeprefix(INPUT): value for name, value in said.items()}


def make_try_form(tenant: TenantRef, source: str, data: Any = None) -> TryForm:
    """Make the form for a source; one with problems has the message alone."""
    try:
        definition = preview_workflow(tenant=tenant, source=source.replace("\r\n", "\n"))
    except InvalidWorkflow:
        definition = None
    return TryForm(data, definition=definition)


def _field(declared: InputDefinition) -> forms.Field:
    common: dict[str, Any] = {
        "label": declared.name,
        "required": declared.is_required and declared.type != "bool",
        "help_text": declared.description,
        "initial": declared.default,
    }
    match declared.type:
        case "int":
            return forms.IntegerField(min_value=-MAX_INT, max_value=MAX_INT, **common)
        case "double":
            return forms.FloatField(**common)
        case "bool":
            return forms.BooleanField(**common)
        case "list" | "map":
            return forms.JSONField(max_length=MAX_JSON, widget=forms.Textarea({"rows": 3}), **common)
    return forms.CharField(max_length=MAX_TEXT, **common)


class SelectionForm(forms.Form):
    """Which recorded runs a simulation takes."""

    last = forms.IntegerField(
        label="Newest runs", min_value=1, max_value=MAX_CASES, initial=50, help_text=f"At most {MAX_CASES}."
    )
    since = forms.DateField(
        label="From",
        required=False,
        widget=forms.DateInput({"type": "date"}),
        help_text="This day (UTC) or later.",
    )
    until = forms.DateField(
        label="Until",
        required=False,
        widget=forms.DateInput({"type": "date"}),
        help_text="Before this day (UTC).",
    )
    intent = forms.CharField(
        label="Route",
        required=False,
        max_length=63,
        help_text="Only runs that took it, for example complaint.",
    )
    only_escalated = forms.BooleanField(label="Only those that were escalated", required=False)
    against = forms.ChoiceField(
        label="Compare with",
        choices=[
            (Against.RECORDED.value, "what was recorded"),
            (Against.REHEARSED.value, "the published version, rehearsed beside the draft (costs twice)"),
        ],
        initial=Against.RECORDED.value,
    )


class CaseFilter(forms.Form):
    change = forms.ChoiceField(label="Show", choices=CHANGES, required=False)


class GateForm(forms.Form):
    is_required = forms.BooleanField(label="Publishing needs a simulation", required=False)
    min_cases = forms.IntegerField(label="At least so many runs", min_value=1, max_value=MAX_CASES)
    max_age_days = forms.IntegerField(label="At most so many days old", min_value=1, max_value=30)
    max_new_failures = forms.IntegerField(label="New failures allowed", min_value=0, max_value=MAX_CASES)
    max_changed_routes_percent = forms.FloatField(
        label="Changed routes allowed, %", min_value=0, max_value=100
    )
    max_cost_increase_percent = forms.FloatField(
        label="Increase of cost allowed, %", min_value=0, max_value=1000
    )

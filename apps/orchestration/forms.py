"""What members write into workflows and ask of runs."""

from django import forms

from apps.orchestration.bulk.contracts import BulkAction
from apps.orchestration.contracts import RunStatus

ACTIONS = [
    (BulkAction.CANCEL.value, "Cancel and undo"),
    (BulkAction.RETRY.value, "Retry what failed"),
    (BulkAction.PAUSE.value, "Pause"),
    (BulkAction.RESUME.value, "Resume"),
    (BulkAction.COMPENSATE.value, "Undo completed runs"),
]
MAX_SOURCE_CHARS = 65_536
STATUSES = [("", "All"), *((status.value, status.value.replace("_", " ").title()) for status in RunStatus)]


class SourceForm(forms.Form):
    """`base` is the hash of what the writer began from; another one meanwhile is a conflict."""

    source = forms.CharField(
        label="YAML",
        max_length=MAX_SOURCE_CHARS,
        strip=False,
        widget=forms.Textarea({"rows": 28, "class": "code", "spellcheck": "false", "data-yaml": ""}),
    )
    base = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)


class RunFilter(forms.Form):
    status = forms.ChoiceField(choices=STATUSES, required=False)
    workflow = forms.CharField(required=False, max_length=63)


class BulkChoice(RunFilter):
    """Which runs: the ticked ones, or with `all` those that match the filter."""

    action = forms.ChoiceField(choices=ACTIONS)
    all = forms.BooleanField(required=False)

    @property
    def criteria(self) -> dict[str, str]:
        """The filter, where all that match it are meant."""
        given = self.cleaned_data
        return {name: given[name] for name in ("status", "workflow") if given[name]}


class OutcomeForm(forms.Form):
    step = forms.CharField(max_length=400)
    outcome = forms.ChoiceField(choices=[(name, name) for name in ("done", "not_done", "undone")])


class ApprovalForm(forms.Form):
    step = forms.CharField(max_length=400)
    answer = forms.ChoiceField(choices=[(name, name) for name in ("approve", "decline")])
    comment = forms.CharField(max_length=500, required=False)


class ReasonForm(forms.Form):
    reason = forms.CharField(
        label="Why",
        max_length=500,
        widget=forms.Textarea({"rows": 3}),
        help_text="Your colleagues read it in the audit trail.",
    )


class RetryForm(ReasonForm):
    """`repeat_effects` is asked for only where effects would happen twice, `reply` where one was sent."""

    field_order = ("repeat_effects", "reply", "reason")
    repeat_effects = forms.BooleanField(label="Yes, let these happen once more", required=False)
    reply = forms.BooleanField(label="Send the new answer to the customer, too", required=False)


class ReplayForm(ReasonForm):
    """`key` makes a form that is sent twice start one run."""

    field_order = ("version", "reply", "reason", "key")
    version = forms.ChoiceField(
        label="Version of the workflow",
        choices=[("same", "The one that the run began with"), ("published", "The one that is published now")],
        widget=forms.RadioSelect,
        initial="same",
    )
    reply = forms.BooleanField(label="Answer into the conversation, too", required=False)
    key = forms.UUIDField(widget=forms.HiddenInput)


class BulkForm(ReasonForm):
    """`key` makes a form that is sent twice one operation."""

    key = forms.UUIDField(widget=forms.HiddenInput)

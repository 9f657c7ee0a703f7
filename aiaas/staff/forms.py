"""What the staff fills in."""

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from apps.billing.selectors import list_plans
from apps.tenants.lifecycle import VISITING_ROLES


class ReasonForm(forms.Form):
    reason = forms.CharField(
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="The tenant can read it in its audit trail.",
    )


class VisitForm(ReasonForm):
    role = forms.ChoiceField(
        choices=[(role.value, role.value) for role in VISITING_ROLES],
        widget=UnfoldAdminSelectWidget,
        help_text="A viewer sees, an admin can change; everything that is changed is recorded.",
    )


class PlanForm(ReasonForm):
    plan = forms.ChoiceField(widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        plans = [(plan.code, f"{plan.name} ({plan.code})") for plan in list_plans()]
        self.fields["plan"].choices = plans  # type: ignore[attr-defined]

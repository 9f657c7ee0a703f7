"""Changes of what belongs to no tenant: each needs a reason, and the staff's own log keeps it."""

from typing import Any

from django import forms
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import Model
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminTextareaWidget

MAX_REASON = 500


def reason_field(help_text: str) -> forms.CharField:
    """Return the field that every act of the staff has."""
    widget = UnfoldAdminTextareaWidget(attrs={"rows": 3})
    return forms.CharField(max_length=MAX_REASON, widget=widget, help_text=help_text)


class ReasonedForm(forms.ModelForm):
    reason = reason_field("Kept in the staff's log.")


class ReasonedAdmin(ModelAdmin):
    """Rows that staff may add and change in a form, with a reason."""

    form = ReasonedForm
    list_fullwidth = True
    compressed_fields = True
    show_full_result_count = False

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        fields = [name for name in super().get_fields(request, obj) if name != "reason"]
        may_write = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        return [*fields, "reason"] if may_write else fields

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> str:
        """Say what became what, and why."""
        names = [name for name in form.changed_data if name != "reason"]
        changes = [
            f"{name}: {_shown(form.initial.get(name))} → {_shown(form.cleaned_data[name])}" for name in names
        ]
        return f"{'Added' if add else 'Changed'} ({'; '.join(changes)}). {form.cleaned_data['reason']}"


def log_act(request: HttpRequest, subject: Model, what: str, reason: str) -> None:
    """Keep an act that is no plain change in the staff's log."""
    LogEntry.objects.log_actions(
        user_id=str(request.user.pk),
        queryset=[subject],
        action_flag=CHANGE,
        change_message=f"{what}. {reason}",
        single_object=True,
    )


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)) or hasattr(value, "all"):
        return ", ".join(sorted(map(str, value))) or "none"
    return str(value)

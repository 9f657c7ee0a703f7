"""What a reader of KPIs chooses."""

import datetime as dt
from typing import Any

from django import forms

from apps.analytics.spans import GRANULARITIES, MAX_DAYS, check_granularity
from apps.resilience.errors import InvalidInput

PERIODS = [(1, "Today"), (7, "7 days"), (30, "30 days"), (90, "90 days")]
STEPS = [("", "Automatic"), *((name, name.title()) for name in GRANULARITIES)]
USUAL_DAYS = 30


def _day(label: str) -> forms.DateField:
    widget = forms.DateInput({"type": "date"}, format="%Y-%m-%d")
    return forms.DateField(label=label, required=False, widget=widget)


class PeriodForm(forms.Form):
    """Days, both inclusive; the names are those of the query. Only a course has steps."""

    start = _day("From")
    end = _day("To")
    granularity = forms.ChoiceField(label="Steps", required=False, choices=STEPS)
    days = forms.IntegerField(required=False, min_value=1, max_value=MAX_DAYS, widget=forms.HiddenInput)

    def __init__(self, data: Any, *, today: dt.date, has_steps: bool) -> None:
        self.today = today
        super().__init__(data)
        if not has_steps:
            del self.fields["granularity"]

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        first, last = self._days_of(given)
        if not 0 <= (last - first).days < MAX_DAYS:
            self.add_error("start", f"Choose a day before the end, at most {MAX_DAYS} days before it.")
            return given
        try:
            check_granularity(given.get("granularity") or "", (last - first).days + 1)
        except InvalidInput as error:
            self.add_error("granularity", error.errors["granularity"][0])
        return given

    def chosen_days(self) -> tuple[dt.date, dt.date]:
        """Return the first and last day that are meant; the usual ones where nothing sensible was said."""
        return self._days_of(self.cleaned_data if self.is_valid() else {})

    def chosen_granularity(self) -> str:
        """Return the step that was asked for, or an empty string."""
        return self.cleaned_data.get("granularity", "") if self.is_valid() else ""

    def _days_of(self, given: dict[str, Any]) -> tuple[dt.date, dt.date]:
        last = given.get("end") or self.today
        days = given.get("days") or USUAL_DAYS
        try:
            return given.get("start") or last - dt.timedelta(days=days - 1), last
        except OverflowError:  # in the first days of the calendar
            return last, last

"""What a reader of KPIs chooses."""

import datetime as dt
from typing import Any

from django import forms

MAX_DAYS = 400
PERIODS = [("1", "Today"), ("7", "7 days"), ("30", "30 days"), ("90", "90 days")]


class PeriodForm(forms.Form):
    """Days, both inclusive; the query's names are those of the API."""

    start = forms.DateField(
        label="From", required=False, widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d")
    )
    end = forms.DateField(
        label="To", required=False, widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d")
    )
    days = forms.IntegerField(required=False, min_value=1, max_value=MAX_DAYS, widget=forms.HiddenInput)

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        start, end = given.get("start"), given.get("end")
        if start and end and not 0 <= (end - start).days < MAX_DAYS:
            self.add_error("start", f"Choose a day before the end, at most {MAX_DAYS} days before it.")
        return given

    def days_until(self, today: dt.date) -> tuple[dt.date, dt.date]:
        """Return the first and last day that are meant; 30 days where nothing else was said."""
        given = self.cleaned_data if self.is_valid() else {}
        last = given.get("end") or today
        first = given.get("start") or last - dt.timedelta(days=(given.get("days") or 30) - 1)
        return min(first, last), last

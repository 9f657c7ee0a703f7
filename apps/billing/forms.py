"""What may be asked of the usage page."""

from typing import Any

from django import forms

from apps.billing.contracts import Period
from apps.billing.money import write_period


class PeriodForm(forms.Form):
    """Choose one of the periods by its first moment."""

    period = forms.ChoiceField(error_messages={"invalid_choice": "Choose one of the periods in the list."})

    def __init__(self, data: Any, *, periods: list[Period], time_zone: str) -> None:
        self.periods = {f"{period.start:%Y-%m-%dT%H:%M}": period for period in periods}
        super().__init__(data if data.get("period") else {"period": next(iter(self.periods))})
        self.fields["period"].choices = [  # type: ignore[attr-defined]
            (key, write_period(period, time_zone)) for key, period in self.periods.items()
        ]

    def chosen(self) -> Period:
        """Return the period asked for, or the current one."""
        current = next(iter(self.periods.values()))
        return self.periods[self.cleaned_data["period"]] if self.is_valid() else current

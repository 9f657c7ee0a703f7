"""What may be asked of the usage page."""

from typing import Any

from django import forms

from apps.billing.contracts import Period
from apps.billing.money import write_period


class PeriodForm(forms.Form):
    """Choose one of the periods by its first moment."""

    period = forms.ChoiceField(
        required=False, error_messages={"invalid_choice": "Choose one of the periods in the list."}
    )

    def __init__(self, data: Any, *, periods: list[Period], time_zone: str) -> None:
        super().__init__(data)
        self.periods = {f"{period.start:%Y-%m-%dT%H:%M}": period for period in periods}
        self.fields["period"].choices = [  # type: ignore[attr-defined]
            (key, write_period(period, time_zone)) for key, period in self.periods.items()
        ]

    def chosen(self) -> Period:
        """Return the period asked for, or the current one."""
        key = self.cleaned_data.get("period", "") if self.is_valid() else ""
        return self.periods[key] if key else next(iter(self.periods.values()))

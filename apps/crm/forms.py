"""What members fill in about customers, orders and leads; the services' rules decide, at the same fields."""

import json
from typing import Any

from django import forms

from apps.crm.contracts import LeadStatus, OrderStatus

ORDER_STATUSES = [(status.value, status.value.title()) for status in OrderStatus]
LEAD_STATUSES = [(status.value, status.value.title()) for status in LeadStatus]
FIRST_STATUSES = [choice for choice in ORDER_STATUSES if choice[0] != OrderStatus.HELD.value]


class ListFilter(forms.Form):
    q = forms.CharField(
        label="Search", required=False, max_length=200, widget=forms.TextInput({"type": "search"})
    )


class OrderFilter(ListFilter):
    status = forms.ChoiceField(choices=[("", "All"), *ORDER_STATUSES], required=False)


class LeadFilter(ListFilter):
    status = forms.ChoiceField(choices=[("", "All"), *LEAD_STATUSES], required=False)


class CustomerForm(forms.Form):
    name = forms.CharField(required=False, max_length=200)
    email = forms.CharField(label="E-mail address", required=False, max_length=254)
    phone = forms.CharField(required=False, max_length=40)
    external_id = forms.CharField(
        label="Your own id", required=False, max_length=100, help_text="As your shop or CRM calls them."
    )

    def fields_given(self) -> dict[str, Any]:
        """Return what the services take: an empty address or id is none."""
        empty = {name: self.cleaned_data[name] or None for name in ("email", "external_id")}
        return {**self.cleaned_data, **empty}


class OrderForm(forms.Form):
    number = forms.CharField(max_length=64, help_text="As the customer knows it, without #.")
    customer_email = forms.CharField(label="Customer's e-mail address", required=False, max_length=254)
    status = forms.ChoiceField(choices=FIRST_STATUSES, initial=OrderStatus.PLACED.value)
    total_cents = forms.IntegerField(label="Total in cents", required=False, min_value=0, max_value=10**12)
    currency = forms.CharField(max_length=3, min_length=3, initial="USD")
    items = forms.CharField(
        required=False,
        max_length=50_000,
        widget=forms.Textarea({"rows": 3}),
        help_text='JSON such as [{"name": "Mug", "quantity": 2, "unit_price_cents": 1200}]. '
        "Without a total they are summed up.",
    )

    def clean_items(self) -> list[Any]:
        """Return the items as they are written; their rules are the service's."""
        text = self.cleaned_data["items"].strip()
        try:
            items = json.loads(text) if text else []
        except (ValueError, RecursionError):
            raise forms.ValidationError("This is not JSON; see the example above.") from None
        if not isinstance(items, list):
            raise forms.ValidationError("Give a list: [ … ].")
        return items

    def fields_given(self) -> dict[str, Any]:
        """Return what the service takes: no total means the sum of the items."""
        return {name: value for name, value in self.cleaned_data.items() if value not in (None, "")}


class LeadForm(forms.Form):
    name = forms.CharField(required=False, max_length=200)
    email = forms.CharField(label="E-mail address", required=False, max_length=254)
    phone = forms.CharField(required=False, max_length=40)
    message = forms.CharField(required=False, max_length=5000, widget=forms.Textarea({"rows": 4}))

    def fields_given(self) -> dict[str, Any]:
        """Return what the services take: an empty address is none."""
        return {**self.cleaned_data, "email": self.cleaned_data["email"] or None}


class ShipForm(forms.Form):
    carrier = forms.CharField(required=False, max_length=100)
    tracking_code = forms.CharField(required=False, max_length=100)


class StatusForm(forms.Form):
    status = forms.ChoiceField(choices=LEAD_STATUSES)


class ImportForm(forms.Form):
    file = forms.FileField(
        label="CSV file",
        allow_empty_file=True,
        max_length=255,
        widget=forms.FileInput({"accept": ".csv,text/csv"}),
        help_text="UTF-8, up to 10 MB and 20,000 rows.",
    )
    skip_existing = forms.BooleanField(
        label="Skip rows that differ from what is here already", required=False
    )


class EraseForm(forms.Form):
    typed = forms.CharField(max_length=254, label="Type it to confirm")

    def __init__(self, *args: Any, wanted: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.wanted = wanted
        self.fields["typed"].label = f"Type “{wanted}” to confirm"
        self.fields["typed"].widget.attrs["autocomplete"] = "off"

    def clean_typed(self) -> str:
        typed: str = self.cleaned_data["typed"].strip()
        if typed != self.wanted:
            raise forms.ValidationError(f"This is not “{self.wanted}”, so nothing was erased.")
        return typed

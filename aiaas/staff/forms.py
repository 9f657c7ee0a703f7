"""What the staff fills in."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from aiaas.staff.reasons import ReasonedForm, reason_field
from apps.billing.contracts import MAX_EXTENSION_DAYS, Tier, UsageKind
from apps.billing.models import Plan, PlanPrice
from apps.tenants.lifecycle import VISITING_ROLES


class ReasonForm(forms.Form):
    reason = reason_field("The tenant can read it in its audit trail.")


class LogReasonForm(forms.Form):
    reason = reason_field("Kept in the staff's log.")


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
        # Also what is not on sale: an offer made to one company is no less a plan.
        plans = [(plan.code, f"{plan.name} ({plan.code})") for plan in Plan.objects.order_by("price_cents")]
        self.fields["plan"].choices = plans  # type: ignore[attr-defined]


class TrialForm(ReasonForm):
    days = forms.IntegerField(
        label="Days to add",
        min_value=1,
        max_value=MAX_EXTENSION_DAYS,
        initial=7,
        widget=UnfoldAdminIntegerFieldWidget,
    )


KINDS = ", ".join(UsageKind)
MAX_TIERS, MAX_UNIT_PRICE, TWELVE_DECIMALS = 100, 10**9, Decimal("1E-12")


class PricesForm(forms.Form):
    base_fee_cents = forms.IntegerField(
        label="Price of a month, in cents",
        min_value=0,
        max_value=10**11,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    tiers = forms.CharField(
        label="Prices per unit",
        required=False,
        max_length=10_000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 8}),
        help_text="One tier a line: what is metered, after how many units the tier begins, what each unit "
        f"then costs; such as “message 50000 0.004”. Metered are {KINDS}.",
    )
    reason = reason_field("Kept in the staff's log. The prices rate the periods that begin from now on.")

    def clean_tiers(self) -> dict[str, list[Tier]]:
        """Read the lines; the service says what is wrong with the tiers themselves."""
        lines = [line for line in self.cleaned_data["tiers"].splitlines() if line.strip()]
        if len(lines) > MAX_TIERS:
            raise forms.ValidationError(f"Give at most {MAX_TIERS} lines.")
        tiers: dict[str, list[Tier]] = {}
        for number, line in enumerate(lines, start=1):
            kind, tier = _read_tier(number, line)
            tiers.setdefault(kind, []).append(tier)
        return tiers


class PlanAdminForm(ReasonedForm):
    def clean_included(self) -> Mapping[str, int]:
        """Check {what is metered: how much of it}; what is not named is unlimited."""
        given: Any = self.cleaned_data["included"] or {}
        is_well = isinstance(given, dict) and all(
            kind in set(UsageKind) and type(amount) is int and 0 <= amount < 2**53
            for kind, amount in given.items()
        )
        if not is_well:
            raise forms.ValidationError(
                f'Give whole amounts by what is metered, such as {{"message": 2000}}. Metered are {KINDS}.'
            )
        return dict(given)


def write_tiers(price: PlanPrice) -> str:
    """Write a version's tiers as the form takes them."""
    return "\n".join(
        f"{tier.kind} {tier.starts_after} {format(tier.unit_price.normalize(), 'f')}"
        for tier in price.tiers.all()
    )


def _read_tier(number: int, line: str) -> tuple[str, Tier]:
    try:
        kind, after, unit_price = line.split()
        tier = Tier(int(after), Decimal(unit_price))
    except (ValueError, InvalidOperation):
        raise forms.ValidationError(f"Line {number} is not “kind amount price”: {line[:80]}") from None
    if kind not in set(UsageKind):
        raise forms.ValidationError(f"Line {number}: {kind[:40]!r} is not metered.")
    price = tier.unit_price
    if not price.is_finite() or price > MAX_UNIT_PRICE or price % TWELVE_DECIMALS:
        raise forms.ValidationError(f"Line {number}: give a price below a billion with at most 12 decimals.")
    if not 0 <= tier.starts_after < 2**53:
        raise forms.ValidationError(f"Line {number}: a tier begins at 0 or more units.")
    return kind, tier

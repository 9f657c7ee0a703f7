"""Plans with their prices, who is on which, and what was invoiced."""

from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse

from aiaas.staff.forms import PlanAdminForm, PricesForm, write_tiers
from aiaas.staff.reasons import ReasonedAdmin, log_act
from aiaas.staff.site import AcrossTenants, action, ask, display
from apps.billing.models import Invoice, Plan, PlanPrice, Subscription
from apps.billing.services import publish_price


@admin.register(Plan)
class PlanAdmin(ReasonedAdmin):
    form = PlanAdminForm
    list_display = (
        "name",
        "code",
        "price",
        "requests_per_minute",
        "has_hard_limits",
        "is_public",
        "is_default",
    )
    list_filter = ("is_public",)
    ordering = ("price_cents",)
    fields = (
        "name",
        "code",
        "price_cents",
        "currency",
        "requests_per_minute",
        "has_hard_limits",
        "max_concurrent_runs",
        "run_weight",
        "included",
        "is_default",
        "is_public",
        "prices",
    )
    readonly_fields = ("prices",)
    actions_detail = ["publish_prices"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Prices are versions, made by `publish_price`; changed here, no invoice would know."""
        return ("code", "price_cents", "currency", "prices") if obj else ("prices",)

    def save_model(self, request: HttpRequest, obj: Plan, form: Any, change: bool) -> None:
        """Give a new plan its first prices: without any it could not be invoiced."""
        super().save_model(request, obj, form, change)
        if not change:
            publish_price(plan_code=obj.code, base_fee_cents=obj.price_cents, tiers={})

    @display(description="Price of a month", ordering="price_cents")
    def price(self, plan: Plan) -> str:
        return _money(plan.price_cents, plan.currency)

    @display(description="Versions of the prices")
    def prices(self, plan: Plan) -> str:
        """The newest first; beyond what is included, each unit costs what its tier says."""
        rows = [
            (price, _money(price.base_fee_cents, plan.currency), write_tiers(price))
            for price in _versions(plan)
        ]
        return render_to_string("staff/prices.html", {"rows": rows})

    @action(description="New prices…", url_path="prices", icon="sell", permissions=["price"])
    def publish_prices(self, request: HttpRequest, object_id: str) -> HttpResponse:
        plan = self.get_object(request, object_id)
        if plan is None:
            raise Http404("There is no such plan.")
        newest = next((price for price in _versions(plan) if not price.is_custom), None)

        def publish(base_fee_cents: int, tiers: Any, reason: str) -> str:
            number = publish_price(plan_code=plan.code, base_fee_cents=base_fee_cents, tiers=tiers)
            log_act(
                request, plan, f"Prices {number}: {_money(base_fee_cents, plan.currency)} a month", reason
            )
            return f"Version {number} rates the periods that begin from now on."

        return ask(
            request,
            PricesForm,
            publish,
            permission="billing.change_plan",
            title=f"New prices of {plan.name}",
            button="Publish the prices",
            then=reverse("admin:billing_plan_change", args=[plan.pk]),
            context=self.admin_site.each_context(request),
            initial={"base_fee_cents": plan.price_cents, "tiers": write_tiers(newest) if newest else ""},
        )

    def has_price_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("billing.change_plan")


@admin.register(Subscription)
class SubscriptionAdmin(AcrossTenants):
    list_display = ("company_name", "plan", "anchor", "created_at", "ended_at")
    list_filter = (("ended_at", admin.EmptyFieldListFilter),)
    ordering = ("-id",)
    list_select_related = ("plan",)
    fields = ("company_name", "plan_name", "anchor", "created_at", "ended_at")
    readonly_fields = fields

    @display(description="Plan")
    def plan_name(self, subscription: Subscription) -> str:
        return subscription.plan.name


@admin.register(Invoice)
class InvoiceAdmin(AcrossTenants):
    list_display = ("title", "company_name", "plan_name", "period", "total", "state", "finalised_at")
    list_filter = ("status",)
    search_fields = ("=number_text", "=id", "=tenant_id")
    search_help_text = "A company's address, or an invoice's number"
    ordering = ("-id",)
    fields = (
        "title", "company_name", "plan_name", "period", "time_zone", "total", "lines", "status",
        "event_count", "checksum", "stored_until", "finalised_at",
    )  # fmt: skip
    readonly_fields = fields

    @display(description="Number")
    def title(self, invoice: Invoice) -> str:
        return invoice.number_text or "not numbered yet"

    @display(description="Period")
    def period(self, invoice: Invoice) -> str:
        return f"{invoice.period_start:%Y-%m-%d %H:%M} to {invoice.period_end:%Y-%m-%d %H:%M} UTC"

    @display(description="Total")
    def total(self, invoice: Invoice) -> str:
        return _money(invoice.total_cents, invoice.currency)

    @display(description="Status", label={"final": "success", "closing": "warning"})
    def state(self, invoice: Invoice) -> str:
        return invoice.status

    @display(description="Lines")
    def lines(self, invoice: Invoice) -> str:
        return render_to_string(
            "staff/lines.html",
            {
                "lines": [
                    (line.description, line.quantity, _money(line.amount_cents, invoice.currency))
                    for line in invoice.lines.all()
                ]
            },
        )


def _versions(plan: Any) -> list[PlanPrice]:
    return list(plan.prices.order_by("-version").prefetch_related("tiers"))


def _money(cents: int, currency: str) -> str:
    return f"{cents / 100:,.2f} {currency}"

"""Plans and who is on which."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from aiaas.staff.site import display
from aiaas.staff.work import AcrossTenants
from apps.billing.models import Plan, Subscription


@admin.register(Plan)
class PlanAdmin(ModelAdmin):
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
    list_fullwidth = True
    compressed_fields = True

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Prices are versions, made by `publish_price`; changed here, no invoice would know."""
        return ("price_cents", "currency") if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A plan is taken off sale, never deleted: subscriptions and invoices name it."""
        return False

    @display(description="Price of a month", ordering="price_cents")
    def price(self, plan: Plan) -> str:
        return f"{plan.price_cents / 100:,.2f} {plan.currency}"


@admin.register(Subscription)
class SubscriptionAdmin(AcrossTenants):
    list_display = ("company_name", "plan", "anchor", "created_at", "ended_at")
    list_filter = (("ended_at", admin.EmptyFieldListFilter),)
    search_fields = ("=tenant_id",)
    ordering = ("-created_at",)
    list_select_related = ("plan",)
    fields = ("company_name", "plan", "anchor", "created_at", "ended_at")
    readonly_fields = fields

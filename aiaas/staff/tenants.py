"""Tenants: what they are on, what they use, and what staff may do to them."""

import datetime as dt
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Count, Model, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from aiaas.staff.forms import PlanForm, ReasonForm, TrialForm, VisitForm
from aiaas.staff.site import PlatformAdmin, action, actor_of, ask, display
from apps.billing.models import Subscription
from apps.billing.selectors import get_subscription, list_quotas
from apps.billing.services import extend_trial, subscribe_tenant
from apps.resilience.errors import NotFoundError
from apps.tenants.context import PLATFORM, in_tenant
from apps.tenants.contracts import Role, TenantRef
from apps.tenants.dashboard import SESSION_ACTING
from apps.tenants.lifecycle import begin_visit, resume_tenant, suspend_tenant
from apps.tenants.models import Membership, Tenant
from apps.tenants.selectors import get_tenant
from apps.tenants.services import record_audit

VISIT_LASTS = dt.timedelta(hours=1)


@admin.register(Tenant)
class TenantAdmin(PlatformAdmin):
    list_display = ("name", "slug", "state", "plan", "members", "created_at")
    list_filter = ("status",)
    search_fields = ("name", "slug")
    search_help_text = "A part of the name or of the address"
    ordering = ("-created_at",)
    fields = ("name", "slug", "status", "time_zone", "plan", "trial", "members", "usage", "created_at", "id")
    readonly_fields = ("plan", "trial", "members", "usage", "created_at", "id")
    actions_detail = ["visit", "change_plan", "extend_trial", "suspend", "resume"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Model]:
        current = Subscription.objects.using(PLATFORM).filter(tenant_id=OuterRef("id"), ended_at__isnull=True)
        members = (
            Membership.objects.using(PLATFORM)
            .filter(tenant_id=OuterRef("id"))
            .order_by()
            .values("tenant_id")
            .annotate(total=Count("id"))
            .values("total")
        )
        return (
            super()
            .get_queryset(request)
            .annotate(
                plan_name=Subquery(current.values("plan__name")[:1]),
                member_count=Coalesce(Subquery(members), 0),
            )
        )

    @display(description="Status", label={"active": "success", "suspended": "danger", "closing": "warning"})
    def state(self, tenant: Tenant) -> str:
        return tenant.status

    @display(description="Plan", ordering="plan_name")
    def plan(self, tenant: Any) -> str:
        return tenant.plan_name or "the default plan"

    @display(description="Trial")
    def trial(self, tenant: Tenant) -> str:
        found = get_subscription(tenant=tenant.ref)
        if found.trial_ends_at is None or found.next_plan is None:
            return "none"
        return f"until {found.trial_ends_at:%Y-%m-%d %H:%M} UTC, then {found.next_plan.name}"

    @display(description="Members", ordering="member_count")
    def members(self, tenant: Any) -> int:
        return tenant.member_count

    @display(description="Usage in this period")
    def usage(self, tenant: Tenant) -> str:
        quotas = list_quotas(tenant=tenant.ref)
        return ", ".join(
            f"{q.kind.replace('_', ' ')} {q.used:,}" + (f" of {q.limit:,}" if q.limit else "")
            for q in quotas
            if q.used or q.limit
        )

    @action(description="Log in as…", url_path="visit", icon="login", permissions=["steer"])
    def visit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        tenant = _find(object_id)

        def begin(role: str, reason: str) -> str:
            begin_visit(tenant=tenant, role=Role(role), reason=reason, actor=actor_of(request))
            until = (timezone.now() + VISIT_LASTS).isoformat()
            request.session[SESSION_ACTING] = {"tenant": tenant.slug, "role": role, "until": until}
            return f"You are visiting {tenant.slug} for an hour."

        return self._ask(request, tenant, VisitForm, begin, "Log in as", "Begin the visit", "/app/")

    @action(description="Change the plan…", url_path="plan", icon="payments", permissions=["steer"])
    def change_plan(self, request: HttpRequest, object_id: str) -> HttpResponse:
        tenant = _find(object_id)

        def change(plan: str, reason: str) -> str:
            with in_tenant(tenant):
                subscribe_tenant(tenant=tenant, plan_code=plan)
                data = {"plan": plan, "reason": reason}
                record_audit(tenant=tenant, actor=actor_of(request), action="plan.changed", data=data)
            return f"{tenant.slug} is on {plan} now."

        return self._ask(request, tenant, PlanForm, change, "Change the plan of", "Change the plan")

    @action(description="Extend the trial…", url_path="trial", icon="more_time", permissions=["steer"])
    def extend_trial(self, request: HttpRequest, object_id: str) -> HttpResponse:
        tenant = _find(object_id)

        def extend(days: int, reason: str) -> str:
            found = extend_trial(tenant=tenant, days=days, reason=reason, actor=actor_of(request))
            return f"The trial of {tenant.slug} ends at {found.trial_ends_at:%Y-%m-%d %H:%M} UTC now."

        return self._ask(request, tenant, TrialForm, extend, "Extend the trial of", "Extend the trial")

    @action(description="Suspend…", url_path="suspend", icon="pause", permissions=["steer"])
    def suspend(self, request: HttpRequest, object_id: str) -> HttpResponse:
        tenant = _find(object_id)

        def stop(reason: str) -> str:
            suspend_tenant(tenant=tenant, reason=reason, actor=actor_of(request))
            return f"{tenant.slug} is suspended."

        return self._ask(request, tenant, ReasonForm, stop, "Suspend", "Suspend")

    @action(description="Resume…", url_path="resume", icon="play_arrow", permissions=["steer"])
    def resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        tenant = _find(object_id)

        def go_on(reason: str) -> str:
            resume_tenant(tenant=tenant, reason=reason, actor=actor_of(request))
            return f"{tenant.slug} works again."

        return self._ask(request, tenant, ReasonForm, go_on, "Resume", "Resume")

    def has_steer_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("tenants.change_tenant")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer to suspend an active tenant, to resume a suspended one, and to extend a trial that runs."""
        tenant = _find(str(object_id))
        hidden = {"suspend" if tenant.is_suspended else "resume"}
        if get_subscription(tenant=tenant).trial_ends_at is None:
            hidden.add("trial")
        offered = super().get_actions_detail(request, object_id)
        return [one for one in offered if one.path not in hidden]

    def _ask(
        self,
        request: HttpRequest,
        tenant: TenantRef,
        form_class: Any,
        act: Any,
        title: str,
        button: str,
        then: str = "",
    ) -> HttpResponse:
        return ask(
            request,
            form_class,
            act,
            permission="tenants.change_tenant",
            title=f"{title} {tenant.slug}",
            button=button,
            then=then or reverse("admin:tenants_tenant_change", args=[tenant.id]),
            context=self.admin_site.each_context(request),
        )


def _find(object_id: str) -> TenantRef:
    try:
        return get_tenant(tenant_id=UUID(object_id))
    except (ValueError, NotFoundError) as error:
        raise Http404("There is no such tenant.") from error

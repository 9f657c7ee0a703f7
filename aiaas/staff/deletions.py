"""Companies that are to be deleted, and the records of those that were."""

from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from aiaas.staff.forms import ReasonForm
from aiaas.staff.site import AcrossTenants, action, actor_of, ask, display
from apps.tenants.context import PLATFORM
from apps.tenants.deletion.services import cancel_deletion
from apps.tenants.models import TenantDeletion
from apps.tenants.selectors import get_tenant


@admin.register(TenantDeletion)
class TenantDeletionAdmin(AcrossTenants):
    list_display = ("company_name", "state", "requested_by", "due_at", "finished_at")
    list_filter = ("status",)
    search_fields = ("=tenant__id",)
    ordering = ("-id",)
    fields = (
        "company_name", "status", "requested_by", "created_at", "due_at", "finished_at",
        "done_steps", "attempts", "error", "rows", "manifest", "signature",
    )  # fmt: skip
    readonly_fields = fields
    actions_detail = ["keep"]

    @display(
        description="Status",
        label={"pending": "warning", "running": "danger", "done": "info", "cancelled": "success"},
    )
    def state(self, deletion: TenantDeletion) -> str:
        return deletion.status

    @action(description="Keep the company…", url_path="keep", icon="undo", permissions=["keep"])
    def keep(self, request: HttpRequest, object_id: str) -> HttpResponse:
        found = self.get_object(request, object_id)
        if found is None or found.status != TenantDeletion.Status.PENDING:
            raise Http404("There is no deletion that could be taken back.")
        tenant = get_tenant(tenant_id=found.tenant_id)

        def take_back(reason: str) -> str:
            cancel_deletion(tenant=tenant, actor=actor_of(request), reason=reason)
            return f"{tenant.slug} is not deleted."

        return ask(
            request,
            ReasonForm,
            take_back,
            permission="tenants.change_tenant",
            title=f"Keep {tenant.slug}",
            button="Keep the company",
            then=reverse("admin:tenants_tenantdeletion_changelist"),
            context=self.admin_site.each_context(request),
        )

    def has_keep_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("tenants.change_tenant")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer to keep a company whose deletion has not begun."""
        pending = TenantDeletion.objects.using(PLATFORM).filter(id=object_id, status="pending").exists()
        return super().get_actions_detail(request, object_id) if pending else []

"""The companies' own domains: what leads where, and what does not prove itself."""

from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from aiaas.staff.forms import ReasonForm
from aiaas.staff.site import AcrossTenants, action, actor_of, ask, display
from apps.tenants.domains.services import remove_domain
from apps.tenants.models import Domain
from apps.tenants.selectors import get_tenant


@admin.register(Domain)
class DomainAdmin(AcrossTenants):
    list_display = ("name", "company_name", "state", "verified_at", "checked_at", "created_at")
    list_filter = (("verified_at", admin.EmptyFieldListFilter),)
    search_fields = ("=name", "=tenant__id")
    search_help_text = "A domain, or a company's address"
    ordering = ("-id",)
    fields = (
        "name", "company_name", "state", "verified_at", "checked_at", "failing_since", "problem", "added_by",
        "created_at",
    )  # fmt: skip
    readonly_fields = fields
    actions_detail = ["drop"]

    @display(
        description="Status", label={"proven": "success", "cannot be asked": "warning", "claimed": "info"}
    )
    def state(self, domain: Domain) -> str:
        if domain.verified_at is None:
            return "claimed"
        return "cannot be asked" if domain.failing_since else "proven"

    @action(description="Remove…", url_path="drop", icon="link_off", permissions=["drop"])
    def drop(self, request: HttpRequest, object_id: str) -> HttpResponse:
        found: Any = self.get_object(request, object_id)
        if found is None:
            raise Http404("There is no such domain.")
        tenant = get_tenant(tenant_id=found.tenant_id)

        def remove(reason: str) -> str:
            remove_domain(tenant=tenant, domain_id=found.id, actor=actor_of(request), reason=reason)
            return f"{found.name} leads to {tenant.slug} no more."

        return ask(
            request,
            ReasonForm,
            remove,
            permission="tenants.change_tenant",
            title=f"Remove {found.name} of {tenant.slug}",
            button="Remove the domain",
            then=reverse("admin:tenants_domain_changelist"),
            context=self.admin_site.each_context(request),
        )

    def has_drop_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("tenants.change_tenant")

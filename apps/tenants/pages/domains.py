"""A company's own domains: claim one, prove it, let go of it."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render

from apps.resilience.errors import DomainError
from apps.tenants.context import in_tenant
from apps.tenants.dashboard import MemberRequest, add_errors, member_page, notify
from apps.tenants.domains import services
from apps.tenants.domains.contracts import PROOF_PATH, places_of
from apps.tenants.domains.selectors import query_domains
from apps.tenants.forms import DomainForm
from apps.tenants.models import Domain

READ, WRITE = "read:settings", "write:settings"


@member_page(read=READ, write=WRITE)
def list_domains(request: MemberRequest) -> HttpResponse:
    """Show the company's domains and how each is proven; claim another."""
    form = DomainForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            services.add_domain(tenant=request.tenant, actor=request.user.email, **form.cleaned_data)
        except DomainError as error:
            add_errors(form, error)
        else:
            notify(request, "Added. Publish its proof, then check it.")
            return redirect("domains")
    with in_tenant(request.tenant):
        rows = [_describe(domain) for domain in query_domains().order_by("name")]
    context = {"form": form, "rows": rows, "most": services.MAX_DOMAINS}
    return render(request, "tenants/domains.html", context, status=422 if form.errors else 200)


@member_page(write=WRITE, post_only=True)
def check_domain(request: MemberRequest, domain_id: UUID) -> HttpResponse:
    """Look for a domain's proof now."""
    found = services.verify_domain(tenant=request.tenant, domain_id=domain_id, actor=request.user.email)
    if found.verified_at is None:
        messages.warning(request, f"{found.name} is not proven: {found.problem}")
    elif found.failing_since is not None:
        messages.warning(
            request, f"{found.name} could not be asked: {found.problem} It stays proven for now."
        )
    else:
        notify(request, f"{found.name} is proven.")
    return redirect("domains")


@member_page(write=WRITE, post_only=True)
def drop_domain(request: MemberRequest, domain_id: UUID) -> HttpResponse:
    """Let go of a domain."""
    name = services.remove_domain(tenant=request.tenant, domain_id=domain_id, actor=request.user.email)
    notify(request, f"{name} is removed: it leads nowhere any more.")
    return redirect("domains")


def _describe(domain: Domain) -> dict[str, Any]:
    addresses = [f"https://{host}{PROOF_PATH}" for host in places_of(domain.name)]
    return {"domain": domain, "addresses": addresses}

"""Read a company's domains, and find the company that a domain leads to."""

from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from apps.resilience.errors import NotFoundError
from apps.resilience.memory import Memory
from apps.tenants.context import in_platform, in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.models import Domain
from apps.tenants.selectors import ask_before_tenant, ref_of

HOST_MEMORY_S = 1.0  # every process follows a removal within this time
_hosts: Memory[TenantRef | None] = Memory(HOST_MEMORY_S)


def query_domains() -> QuerySet[Domain]:
    """Choose the domains, in the caller's transaction of their tenant."""
    return Domain.objects.all()


def get_domain(*, tenant: TenantRef, domain_id: UUID) -> Domain:
    """Return a domain; raises NotFoundError."""
    with in_tenant(tenant):
        found = Domain.objects.filter(id=domain_id).first()
    if found is None:
        raise NotFoundError("There is no such domain.")
    return found


def find_tenant_by_host(host: str) -> TenantRef | None:
    """Return the company whose proven domain a host name is, remembered for a second."""
    if len(host) > 253 or "\x00" in host:
        return None
    return _hosts.get((host,), lambda: _resolve(host))


def forget_hosts() -> None:
    """Forget where domains lead; other processes do within a second."""
    _hosts.forget()


def list_due_domains() -> list[tuple[UUID, UUID]]:
    """Return (tenant's id, domain's id) of what is to be proven again; with the platform's connection."""
    with in_platform() as alias:
        due = Domain.objects.using(alias).filter(verified_at__isnull=False, due_at__lte=timezone.now())
        return list(due.order_by("due_at").values_list("tenant_id", "id")[:500])


def _resolve(host: str) -> TenantRef | None:
    rows = ask_before_tenant("SELECT * FROM resolve_domain(%s)", host)
    return ref_of(rows[0]) if rows else None

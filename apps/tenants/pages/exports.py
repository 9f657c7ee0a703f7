"""The archives of the company: ask for one, see how far it is, fetch it. For owners only."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from apps.tenants.context import in_tenant
from apps.tenants.dashboard import MemberRequest, member_page, notify
from apps.tenants.exporting.services import open_archive, request_export
from apps.tenants.models import TenantExport
from apps.tenants.paging import paginate

PIECE_BYTES = 1 << 20


@member_page(read="write:company", write="write:company", even_suspended=True)
def list_exports(request: MemberRequest) -> HttpResponse:
    """Show the archives that were asked for, or ask for one."""
    if request.method == "POST":
        request_export(tenant=request.tenant, actor=request.user.email)
        notify(request, "The archive is being made. You get a mail when it is ready.")
        return redirect("exports")
    with in_tenant(request.tenant):
        page = paginate(TenantExport.objects.all(), request.GET.get("cursor", ""), size=20)
    context = {"page": page, "is_open": any(row.status in ("queued", "running") for row in page.items)}
    template = "tenants/_exports.html" if request.htmx else "tenants/exports.html"
    return render(request, template, {**context, "now": timezone.now()})


@member_page(read="write:company", even_suspended=True)
def fetch_export(request: MemberRequest, export_id: UUID) -> StreamingHttpResponse:
    """Send an archive to an owner of its company."""
    path = open_archive(tenant=request.tenant, export_id=export_id, actor=request.user.email)
    response = StreamingHttpResponse(_pieces(path), content_type="application/zip")
    response["Content-Disposition"] = f'attachment; filename="{request.tenant.slug}.zip"'
    response["Content-Length"] = str(path.stat().st_size)
    return response


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece

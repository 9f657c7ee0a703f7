"""What a member asks of a run: rest, go on."""

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import redirect

from apps.orchestration import pausing
from apps.tenants.dashboard import MemberRequest, member_page, notify


@member_page(write="write:runs", post_only=True)
def pause(request: MemberRequest, run_id: UUID) -> HttpResponse:
    """Let a run rest before its next step."""
    pausing.pause_run(tenant=request.tenant, run_id=run_id, actor=request.user.email)
    notify(request, "The run rests before its next step, until somebody resumes it.")
    return redirect("run", run_id)


@member_page(write="write:runs", post_only=True)
def resume(request: MemberRequest, run_id: UUID) -> HttpResponse:
    """Let a paused run go on."""
    pausing.resume_run(tenant=request.tenant, run_id=run_id, actor=request.user.email)
    notify(request, "The run goes on.")
    return redirect("run", run_id)

"""Canned replies: list, add, change, delete with undo."""

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from apps.conversations import selectors, services
from apps.conversations.forms import CannedReplyForm
from apps.resilience.errors import DomainError
from apps.tenants.context import in_tenant
from apps.tenants.dashboard import MemberRequest, add_errors, member_page, notify

READ, WRITE = "read:conversations", "write:conversations"
DELETED = "canned_reply_deleted"


@member_page(read=READ, write=WRITE)
def show_canned_replies(request: MemberRequest) -> HttpResponse:
    """List the canned replies, and add one."""
    form = CannedReplyForm(request.POST if request.method == "POST" else None)
    if form.is_bound and _is_saved(request, form, None):
        notify(request, f"/{form.cleaned_data['shortcut'].lower()} is ready to use.")
        return redirect("canned_replies")
    with in_tenant(request.tenant):
        context = {
            "replies": selectors.list_canned_replies(tenant=request.tenant),
            "form": form,
            "may_write": request.principal.may(WRITE),
        }
        return render(
            request, "conversations/canned_replies.html", context, status=422 if form.errors else 200
        )


@member_page(read=READ, write=WRITE)
def show_canned_reply(request: MemberRequest, reply_id: UUID) -> HttpResponse:
    """Change a canned reply."""
    reply = selectors.get_canned_reply(tenant=request.tenant, reply_id=reply_id)
    before = {"shortcut": reply.shortcut, "text": reply.text}
    form = CannedReplyForm(request.POST if request.method == "POST" else None, initial=before)
    if form.is_bound and _is_saved(request, form, reply_id):
        notify(request, f"/{form.cleaned_data['shortcut'].lower()} was changed.")
        return redirect("canned_replies")
    with in_tenant(request.tenant):
        context = {"reply": reply, "form": form}
        return render(request, "conversations/canned_reply.html", context, status=422 if form.errors else 200)


@member_page(write=WRITE, post_only=True)
def remove_canned_reply(request: MemberRequest, reply_id: UUID) -> HttpResponse:
    """Delete a canned reply, and remember it for an undo."""
    gone = services.delete_canned_reply(tenant=request.tenant, reply_id=reply_id)
    request.session[DELETED] = {
        "tenant": str(request.tenant.id), "shortcut": gone.shortcut, "text": gone.text,
    }  # fmt: skip
    notify(request, f"/{gone.shortcut} was deleted.", undo_url=reverse("restore_canned_reply"))
    return redirect("canned_replies")


@member_page(write=WRITE, post_only=True)
def restore_canned_reply(request: MemberRequest) -> HttpResponse:
    """Bring the one back that was deleted last."""
    gone = request.session.pop(DELETED, None)
    if gone and gone.pop("tenant") == str(request.tenant.id):
        services.save_canned_reply(tenant=request.tenant, **gone)
        notify(request, f"/{gone['shortcut']} is back.")
    return redirect("canned_replies")


def _is_saved(request: MemberRequest, form: CannedReplyForm, reply_id: UUID | None) -> bool:
    if not form.is_valid():
        return False
    try:
        services.save_canned_reply(tenant=request.tenant, reply_id=reply_id, **form.cleaned_data)
    except DomainError as error:
        add_errors(form, error)
        return False
    return True

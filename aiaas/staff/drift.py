"""Have the tenants' schemas compared with what this release makes."""

from celery import current_app
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from kombu.exceptions import KombuError

TASK = "workers.tasks.report_drift"


def compare_schemas(request: HttpRequest) -> HttpResponse:
    """Let a worker compare; the start page shows what it found."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    if not request.user.has_perm("tenants.change_tenant"):
        raise PermissionDenied("Your staff account does not permit this.")
    try:
        current_app.send_task(TASK, retry=False, ignore_result=True)
    except (KombuError, OSError):
        messages.error(request, "The broker does not answer, so no worker could be asked. Try again later.")
    else:
        messages.success(request, "A worker compares the schemas now. Reload this page to see what it found.")
    return redirect("admin:index")

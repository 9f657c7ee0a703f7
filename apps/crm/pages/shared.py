"""A form of one thing: shown, checked, given to a service, and shown again with what was wrong."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.http import HttpResponse
from django.shortcuts import redirect, render

from apps.resilience.errors import DomainError
from apps.tenants.dashboard import MemberRequest, add_errors, notify


def edit(
    request: MemberRequest,
    form_class: Any,
    save: Callable[[Any], Any],
    *,
    title: str,
    done: str,
    then: str,
    initial: dict[str, Any] | None = None,
) -> HttpResponse:
    """Answer a page of one form; `save` gets the valid form and returns what the URL `then` shows by id."""
    form: forms.Form = form_class(request.POST if request.method == "POST" else None, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            saved = save(form)
        except DomainError as error:
            add_errors(form, error)
        else:
            notify(request, done)
            return redirect(then, saved.id)
    context = {"form": form, "title": title}
    return render(request, "crm/form.html", context, status=422 if form.errors else 200)

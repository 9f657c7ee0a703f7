"""Channels: the company's chat widgets, and the settings of each."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import orjson
from django import forms as django_forms
from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from apps.realtime import forms
from apps.realtime.sightings import forget_refusal, list_sightings
from apps.realtime.widget_settings.contracts import LANGUAGES, load_settings
from apps.realtime.widget_settings.selectors import Widget
from apps.realtime.widget_settings.services import update_widget_settings
from apps.resilience.errors import ConflictError, DomainError, NotFoundError
from apps.tenants import selectors, services
from apps.tenants.context import in_tenant
from apps.tenants.dashboard import MemberRequest, add_errors, member_page, notify
from apps.tenants.paging import paginate

READ, WRITE, SECRETS = "read:settings", "write:settings", "write:secrets"
SAVED = "Saved. Websites show it within a minute or two, an opened chat at once."


@member_page(read=READ, write=WRITE)
def list_widgets(request: MemberRequest) -> HttpResponse:
    """Show the company's widgets, and make a new one."""
    form = forms.NewWidgetForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        made = services.create_widget_key(
            tenant=request.tenant, name=form.cleaned_data["name"], actor=request.user.email
        )
        notify(request, "The widget is made. Say how it looks, then put its line into your pages.")
        return redirect("widget_look", made.key)
    with in_tenant(request.tenant):
        page = paginate(
            selectors.query_widget_keys(), request.GET.get("cursor", ""), by="-created_at", then="-key"
        )
    context = {"page": page, "form": form}
    return render(request, "realtime/channels.html", context, status=422 if form.errors else 200)


@member_page(read=READ, write=WRITE)
def edit_look(request: MemberRequest, key: str) -> HttpResponse:
    """Change colours, place and icon."""
    return _edit_section(request, key, "look", forms.LookForm, view="chat")


@member_page(read=READ, write=WRITE)
def edit_texts(request: MemberRequest, key: str) -> HttpResponse:
    """Change the languages, and the words in one of them."""
    language = request.GET.get("lang", "")
    row, widget = _find(request, key)
    if language not in LANGUAGES:
        language = widget.settings.default_language
    form = forms.TextsForm(
        request.POST if request.method == "POST" else None,
        language=language,
        initial={"version": widget.key.version, **forms.TextsForm.initial_in(widget.settings, language)},
    )
    if _save(request, form, key, _write_settings):
        return redirect(f"{reverse('widget_texts', args=[key])}?{urlencode({'lang': language})}")
    more = {"language": language, "languages": forms.LANGUAGE_CHOICES}
    return _render_section(request, row, widget, "texts", form, view="chat", **more)


@member_page(read=READ, write=WRITE)
def edit_general(request: MemberRequest, key: str) -> HttpResponse:
    """Change the widget's name and the domains that may show it."""
    row, widget = _find(request, key)
    initial = {"version": row.version, "name": row.name, "allowed_origins": "\n".join(row.allowed_origins)}
    form = forms.GeneralForm(request.POST if request.method == "POST" else None, initial=initial)

    if _save(request, form, key, _write_general):
        return redirect("widget_general", key)
    return _render_section(request, row, widget, "general", form)


@member_page(read=READ, write=WRITE)
def edit_hours(request: MemberRequest, key: str) -> HttpResponse:
    """Change opening hours, and what happens outside of them."""
    return _edit_section(request, key, "hours", forms.HoursForm, view="offline")


@member_page(read=READ, write=WRITE)
def edit_forms(request: MemberRequest, key: str) -> HttpResponse:
    """Change what visitors are asked, before and after a conversation."""
    return _edit_section(request, key, "forms", forms.VisitorFormsForm, view="prechat")


@member_page(read=READ, write=WRITE)
def edit_limits(request: MemberRequest, key: str) -> HttpResponse:
    """Change how much is taken from visitors in a minute."""
    return _edit_section(request, key, "limits", forms.LimitsForm, view="")


@member_page(read=READ)
def show_installation(request: MemberRequest, key: str) -> HttpResponse:
    """Show the line for the company's pages, where the widget was seen, and its secret's state."""
    return _render_installation(request, key)


@member_page(write=WRITE, post_only=True)
def allow_domain(request: MemberRequest, key: str) -> HttpResponse:
    """Let a page that was refused show the widget."""
    origin = request.POST.get("origin", "")
    services.allow_widget_origin(tenant=request.tenant, key=key, origin=origin, actor=request.user.email)
    forget_refusal(tenant_id=request.tenant.id, key=key, origin=origin)
    notify(request, f"{origin} may show the widget now.")
    return redirect("widget_install", key)


@member_page(write=WRITE, post_only=True)
def switch_widget(request: MemberRequest, key: str) -> HttpResponse:
    """Switch a widget off or on; `?to=on` switches it on."""
    is_active = request.GET.get("to") == "on"
    services.set_widget_key_active(
        tenant=request.tenant, key=key, is_active=is_active, actor=request.user.email
    )
    undo = f"{reverse('widget_switch', args=[key])}?to={'off' if is_active else 'on'}"
    notify(request, f"The widget is {'on' if is_active else 'off'}.", undo_url=undo)
    return redirect("channels")


@member_page(write=SECRETS, post_only=True)
def show_secret(request: MemberRequest, key: str) -> HttpResponse:
    """Show the secret that signs customers' identities, once."""
    secret = services.reveal_identity_secret(tenant=request.tenant, key=key, actor=request.user.email)
    return _render_installation(request, key, secret=secret)


@member_page(write=SECRETS, post_only=True)
def renew_secret(request: MemberRequest, key: str) -> HttpResponse:
    """Replace that secret, and show the new one, once."""
    form = forms.RotateSecretForm(request.POST)
    if not form.is_valid():
        return _render_installation(request, key, form=form, status=422)
    secret = services.rotate_identity_secret(
        tenant=request.tenant, key=key, actor=request.user.email, **form.cleaned_data
    )
    return _render_installation(request, key, secret=secret)


def _edit_section(
    request: MemberRequest, key: str, section: str, kind: type[forms.SectionForm], *, view: str
) -> HttpResponse:
    row, widget = _find(request, key)
    initial = {"version": row.version, **kind.initial_of(widget.settings)}
    form = kind(request.POST if request.method == "POST" else None, initial=initial)
    if _save(request, form, key, _write_settings):
        return redirect(f"widget_{section}", key)
    return _render_section(request, row, widget, section, form, view=view)


def _save(
    request: MemberRequest,
    form: django_forms.Form,
    key: str,
    write: Callable[[MemberRequest, Any, str], None],
) -> bool:
    if request.method != "POST" or not form.is_valid():
        return False
    try:
        write(request, form, key)
    except ConflictError as error:
        form.add_error(None, error.detail)
        form.data = form.data.copy()  # type: ignore[attr-defined]
        form.data["version"] = str(_find(request, key)[0].version)  # type: ignore[index]
    except DomainError as error:
        if error.status == NotFoundError.status:
            raise
        add_errors(form, error)
    else:
        notify(request, SAVED)
    return not form.errors


def _write_settings(request: MemberRequest, form: Any, key: str) -> None:
    update_widget_settings(
        tenant=request.tenant,
        key=key,
        version=form.cleaned_data["version"],
        actor=request.user.email,
        changes=form.changes(),
    )


def _write_general(request: MemberRequest, form: Any, key: str) -> None:
    services.update_widget_key(
        tenant=request.tenant,
        key=key,
        version=form.cleaned_data["version"],
        actor=request.user.email,
        **form.changes(),
    )


def _find(request: MemberRequest, key: str) -> tuple[Any, Widget]:
    """Return a widget's row and its settings; raises NotFoundError."""
    with in_tenant(request.tenant):
        row = selectors.query_widget_keys().filter(key=key).first()
        if row is None:
            raise NotFoundError("There is no such widget.")
        view = selectors.view_widget_key(request.tenant, row)
    return row, Widget(view, load_settings(view.settings))


def _render_section(
    request: MemberRequest,
    row: Any,
    widget: Widget,
    section: str,
    form: django_forms.Form,
    *,
    view: str = "",
    **more: Any,
) -> HttpResponse:
    context = {
        "row": row,
        "section": section,
        "form": form,
        "time_zone": widget.key.time_zone,
        "view": view,
        "language": widget.settings.default_language,
        "public": orjson.dumps({**widget.public, "text_color": widget.settings.text_color}).decode(),
        "offered": [choice for choice in forms.LANGUAGE_CHOICES if choice[0] in widget.settings.languages],
        **more,
    }
    return render(request, "realtime/widget.html", context, status=422 if form.errors else 200)


def _render_installation(
    request: MemberRequest,
    key: str,
    *,
    secret: str = "",
    form: forms.RotateSecretForm | None = None,
    status: int = 200,
) -> HttpResponse:
    row, _ = _find(request, key)
    place: dict[str, Any] = {"tenant_id": request.tenant.id, "key": key}
    context = {
        "row": row,
        "section": "install",
        "snippet": selectors.build_snippet(key),
        "policy": _policy(),
        "seen": list_sightings(**place, is_allowed=True),
        "refused": list_sightings(**place, is_allowed=False),
        "secret": secret,
        "overlaps": row.previous_secret_ends_at and row.previous_secret_ends_at > timezone.now(),
        "form": form or forms.RotateSecretForm(initial={"secret_version": row.secret_version}),
    }
    return render(request, "realtime/widget_install.html", context, status=status)


def _policy() -> str:
    return f"script-src {settings.PUBLIC_URL.rstrip('/')}; connect-src {settings.REALTIME_URL.rstrip('/')}"

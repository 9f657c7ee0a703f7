"""Attack the staff's admin: no tenant's people get in, and an action on one tenant touches no other."""

from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.messages.storage.cookie import CookieStorage
from django.http import HttpRequest
from django.test import RequestFactory

from aiaas.isolation.companies import Company
from aiaas.isolation.evidence import Watch
from aiaas.isolation.report import Report
from aiaas.isolation.routes import METHODS, Route, all_routes
from aiaas.isolation.urls import Caller
from apps.tenants.context import in_platform

SURFACE = "admin"
# What a stranger may see of the admin: where to log in, and how its own scripts speak.
OPEN = {"admin/login/", "admin/logout/", "admin/jsi18n/"}
REFUSALS = {302, 403, 404, 405}


class StaffAttack:
    """Ask for every page of the admin as a tenant's owner, and run every bulk action as the staff."""

    def __init__(self, report: Report, victim: Company, intruder: Company) -> None:
        self.report, self.victim, self.intruder = report, victim, intruder
        self.watch = Watch(victim, intruder)

    def run(self) -> None:
        """Attack every route under admin/ and every registered admin."""
        caller = Caller(self.intruder, self.watch)
        for route in (route for route in all_routes() if route.pattern.startswith("admin/")):
            self.report.aim(SURFACE)
            names = self.victim.ids_for(*route.hints)[:2] if route.first else ["none"]
            for name in names:
                self._knock(caller, route, name)
        for model_admin in admin.site._registry.values():
            self._act(model_admin)

    def _knock(self, caller: Caller, route: Route, name: str) -> None:
        for method in METHODS[:2]:
            answer = caller.ask(route, method, route.address(name))
            is_refused = answer.status in REFUSALS or route.pattern in OPEN
            finding = answer.finding or ("" if is_refused else f"answers {answer.status} to a tenant's owner")
            self.report.judge(SURFACE, f"{method} {route.pattern}", finding)

    def _act(self, model_admin: "admin.ModelAdmin") -> None:
        request = self._request()
        actions: dict[str, Any] = model_admin.get_actions(request)
        for name, (act, *_) in actions.items():
            self.report.aim(SURFACE)
            with self.watch.undone() as done, in_platform():
                rows = model_admin.get_queryset(request)
                column = "id" if rows.model._meta.db_table == "tenants_tenant" else "tenant_id"
                has_tenant = column in {field.attname for field in rows.model._meta.concrete_fields}
                own = rows.filter(**{column: self.intruder.tenant.id}) if has_tenant else rows.none()
                act(model_admin, request, own)
            self.report.judge(SURFACE, f"{model_admin} {name}", self.watch.verdict(done))

    def _request(self) -> HttpRequest:
        request = RequestFactory().post("/admin/", {"action": "", "reason": self.intruder.mark, "apply": "1"})
        request.user = get_user_model()(email="staff@proof.example", is_staff=True, is_superuser=True)
        request.__dict__["_messages"] = CookieStorage(request)
        return request

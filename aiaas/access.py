"""Every doorway of the product with what it asks for, found by walking the routes.

A test wants each of them declared (tests/access), and `docs/permissions.md` is made of this list.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from django.urls import URLPattern, URLResolver, get_resolver

from apps.realtime import frames, inbox
from apps.tenants.contracts import OPEN, SIGNED_IN, Role
from apps.tenants.permissions import HOLDERS, TABLE

STAFF = "staff"  # Django's own permissions of the platform's staff, see docs/staff.md
UNDECLARED = ""
SAFE = frozenset({"head", "options"})
# Views that no tenant's permission guards: those of libraries, and ours for people rather than members.
# The longest start of a route that fits counts.
DECLARED = {
    "admin/": STAFF,
    "healthz": OPEN,
    "readyz": OPEN,
    "metrics": OPEN,
    ".well-known/jwks.json": OPEN,
    "api/schema/": OPEN,
    "api/docs/": OPEN,
    "widget.js": OPEN,
    "demo/": OPEN,
    "accounts/login/": OPEN,
    "accounts/logout/": OPEN,
    "accounts/inactive/": OPEN,
    "accounts/signup/": OPEN,
    "accounts/^password/reset/": OPEN,
    "accounts/password/reset/": OPEN,
    "accounts/invitations/": OPEN,
    "accounts/reauthenticate/": SIGNED_IN,
    "accounts/password/change/": SIGNED_IN,
    "accounts/password/set/": SIGNED_IN,
    "accounts/start/": SIGNED_IN,
    "accounts/companies/new/": SIGNED_IN,
    "accounts/address/": SIGNED_IN,
    "accounts/sessions/": SIGNED_IN,
    "accounts/second-step/": SIGNED_IN,
    "accounts/second-step/log-in/": OPEN,
    "accounts/second-step/passkeys/log-in/": OPEN,
    "accounts/oidc/": OPEN,
    "accounts/connections/": SIGNED_IN,
    "accounts/connections/sign-up/": OPEN,
    "accounts/connections/cancelled/": OPEN,
    "app/choose-tenant/": SIGNED_IN,
    "app/leave-tenant/": SIGNED_IN,
}


class Doorway(NamedTuple):
    """One way in: a method of an endpoint or page, or a frame of a socket."""

    kind: str
    path: str
    method: str
    permission: str


def list_doorways() -> list[Doorway]:
    """Return every route's methods and every socket's frames, in the order of their addresses."""
    return sorted({*_routes(get_resolver().url_patterns), *_sockets()})


def write_permissions() -> str:
    """Return `docs/permissions.md`."""
    roles = [role.value for role in Role]
    table = _table(
        ["permission", *roles, "may"],
        [
            [f"`{row.name}`", *("yes" if role in row.roles else "" for role in Role), row.meaning]
            for row in TABLE
        ],
    )
    guarded = [door for door in list_doorways() if door.permission != STAFF]
    parts = [
        _table(
            [kind, "method", "needs", "roles"],
            [_line(door) for door in guarded if door.kind == kind],
        )
        for kind in sorted({door.kind for door in guarded})
    ]
    return "\n\n".join([INTRODUCTION, table, DOORWAYS, *parts]) + "\n"


def _routes(entries: Iterable[Any], prefix: str = "") -> Iterator[Doorway]:
    for entry in entries:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from _routes(entry.url_patterns, route)
        elif isinstance(entry, URLPattern):
            for method, permission in _methods(route, entry.callback):
                yield Doorway(_kind(route), f"/{route}", method, permission)


def _methods(route: str, view: Any) -> Iterator[tuple[str, str]]:
    if declared := getattr(view, "permissions", None):
        offered = {"GET": "" if view.post_only else declared["read"], "POST": declared["write"]}
        yield from ((method, name) for method, name in offered.items() if name)
    elif hasattr(view, "cls") and hasattr(view.cls, "required_scopes"):
        scopes = view.initkwargs.get("required_scopes", view.cls.required_scopes)
        names = getattr(view, "actions", None) or {
            name for name in view.cls.http_method_names if hasattr(view.cls, name)
        }
        yield from ((name.upper(), scopes.get(name.upper()) or UNDECLARED) for name in set(names) - SAFE)
    else:
        starts = [start for start in DECLARED if route.startswith(start)]
        yield "any", DECLARED[max(starts, key=len)] if starts else UNDECLARED


def _sockets() -> Iterator[Doorway]:
    yield from (Doorway("socket", "/ws/chat/", kind, frames.PERMISSION) for kind in frames.PARSERS)
    yield from (Doorway("socket", "/ws/inbox/", kind, name) for kind, name in inbox.FRAMES.items())


def _kind(route: str) -> str:
    return "endpoint" if route.startswith(("api/", "v1/", "hooks/")) else "page"


def _line(door: Doorway) -> list[str]:
    holders = HOLDERS.get(door.permission, frozenset(Role))
    who = ", ".join(role.value for role in Role if role in holders) if len(holders) < len(Role) else "all"
    is_row = door.permission in HOLDERS
    path = door.path.replace("|", "\\|")
    return [
        f"`{path}`",
        door.method,
        f"`{door.permission}`" if is_row else door.permission,
        who if is_row else "",
    ]


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


INTRODUCTION = """# Roles and permissions

This page is made by `manage.py list_permissions --write` from `apps/tenants/permissions.py` and from what
every endpoint, page and socket declares; a test fails when it is not up to date. A member has one role in
each company. An API key has scopes: single permissions of this table, `api:read` for everything that can be
read, `api:write` for what an admin may do. Nobody gives more than they hold: neither a role above their own
nor a scope that they lack."""
DOORWAYS = """## What each doorway needs

*open* is for everybody, *signed in* for whoever has shown who they are. A refusal is `403` and says which
permission is missing, in `missing_permission`, and which roles hold it, in `roles_with_it`."""

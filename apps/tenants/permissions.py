"""The one table of roles and permissions, and the one check of them: every doorway asks here.

`docs/permissions.md` is made of this table and of what each doorway declares (`manage.py list_permissions`).
"""

from collections.abc import Iterable
from typing import NamedTuple

from apps.resilience.errors import NotAllowed
from apps.tenants.contracts import OPEN, SIGNED_IN, Principal, PrincipalKind, Role

EVERYBODY = frozenset(Role)
OWNERS = frozenset({Role.OWNER})
ADMINS = OWNERS | {Role.ADMIN}
AGENTS = ADMINS | {Role.AGENT}
ACCOUNTANTS = ADMINS | {Role.ANALYST}
ALL_BUT_VIEWERS = EVERYBODY - {Role.VIEWER}


class Permission(NamedTuple):
    """A row of the table: who holds it, and what it lets them do."""

    name: str
    roles: frozenset[Role]
    meaning: str


TABLE = (
    Permission("read:customers", EVERYBODY, "see customers"),
    Permission("write:customers", AGENTS, "add, change, import and delete customers"),
    Permission("read:orders", EVERYBODY, "see orders"),
    Permission("write:orders", AGENTS, "add and import orders, hold, ship, cancel and refund them"),
    Permission("read:leads", EVERYBODY, "see leads"),
    Permission("write:leads", AGENTS, "add, import and work on leads"),
    Permission("read:conversations", EVERYBODY, "see conversations, the inbox, figures and reports"),
    Permission("write:conversations", AGENTS, "answer customers, take over, resolve, ask the AI"),
    Permission("read:documents", EVERYBODY, "see and search the knowledge"),
    Permission("write:documents", ADMINS, "add and delete knowledge"),
    Permission("read:workflows", EVERYBODY, "see workflows, models and tools"),
    Permission("write:workflows", ADMINS, "draft, publish and roll back workflows"),
    Permission("write:gates", ADMINS, "change the replay gate, publish past it with a reason"),
    Permission("read:runs", EVERYBODY, "see runs"),
    Permission("write:runs", ADMINS, "start, pause, cancel, retry, replay, resolve and compensate runs"),
    Permission("read:personal_data", AGENTS, "see customers' personal data in runs, not masked"),
    Permission("read:router", EVERYBODY, "see intents and models, try a text"),
    Permission("write:router", AGENTS, "teach, train and switch the router"),
    Permission("read:usage", ALL_BUT_VIEWERS, "see usage and quotas"),
    Permission("write:usage", ADMINS, "have usage counted again"),
    Permission("read:billing", ACCOUNTANTS, "see plans, the subscription and invoices"),
    Permission("write:billing", OWNERS, "change the plan"),
    Permission("read:members", EVERYBODY, "see the team"),
    Permission("write:members", ADMINS, "invite, remove and give roles, none above one's own"),
    Permission("read:webhooks", EVERYBODY, "see webhooks and their deliveries"),
    Permission("write:webhooks", ADMINS, "add, pause, try and delete webhooks"),
    Permission("write:secrets", ADMINS, "see a new signing secret or token once, and replace it"),
    Permission("read:api_keys", ADMINS, "see API keys"),
    Permission("write:api_keys", ADMINS, "make, rotate and revoke API keys, none above one's own rights"),
    Permission("read:audit", ADMINS, "see and export the audit trail"),
    Permission("read:settings", EVERYBODY, "see settings and channels"),
    Permission("write:settings", ADMINS, "change settings, widgets and reports"),
    Permission("write:company", OWNERS, "ask all for a second step, export everything, delete the company"),
)
ALL = frozenset(permission.name for permission in TABLE)
READS = frozenset(name for name in ALL if name.startswith("read:"))
HOLDERS = {permission.name: permission.roles for permission in TABLE}
ROLE_PERMISSIONS: dict[Role, frozenset[str]] = {
    role: frozenset(permission.name for permission in TABLE if role in permission.roles) for role in Role
}

# The two coarse scopes that an API key may carry instead of single permissions: to read everything, and to do
# what an admin may do. What only an owner may do is named by itself.
COARSE_SCOPES: dict[str, frozenset[str]] = {
    "api:read": READS,
    "api:write": ROLE_PERMISSIONS[Role.ADMIN],
}


class MissingPermission(NotAllowed):
    """Refused for want of one permission; says which, and who can give it."""

    title = "Permission missing"

    def __init__(self, principal: Principal, permission: str) -> None:
        super().__init__(_explain(principal, permission))
        roles = [role.value for role in Role if role in HOLDERS.get(permission, ())]
        self.members = {"missing_permission": permission, "roles_with_it": roles}


def require(principal: Principal, permission: str) -> None:
    """Let pass whoever holds the permission; raises MissingPermission.

    `Principal.may` is the same check as a question: for what a page offers.
    """
    if not principal.may(permission):
        raise MissingPermission(principal, permission)


def expand_scopes(scopes: Iterable[str]) -> frozenset[str]:
    """Return the permissions that an API key's scopes stand for; an unknown scope grants nothing."""
    granted: set[str] = set()
    for scope in scopes:
        granted |= COARSE_SCOPES.get(scope, frozenset({scope}) & ALL)
    return frozenset(granted)


def assert_may_grant(principal: Principal, scopes: Iterable[str]) -> None:
    """Refuse to give an API key more than its maker holds; raises NotAllowed."""
    if beyond := sorted(expand_scopes(scopes) - principal.permissions):
        text = f"You do not hold {', '.join(beyond)} yourself."
        raise NotAllowed(text, errors={"scopes": [text]})


def assert_may_assign(actor_role: Role, *concerned: Role) -> None:
    """Refuse to give or take a role that may do more than one's own; raises NotAllowed."""
    for role in concerned:
        if not ROLE_PERMISSIONS[role] <= ROLE_PERMISSIONS[actor_role]:
            raise NotAllowed(
                f"Your role, {actor_role}, may do less than {role}: you can neither give nor take that role. "
                "Ask an owner."
            )


def is_declared(permission: str | None) -> bool:
    """Tell whether a doorway's declaration means something: a row of the table, or open, or signed in."""
    return permission in ALL or permission in (OPEN, SIGNED_IN)


def _explain(principal: Principal, permission: str) -> str:
    holders = " or ".join(role.value for role in Role if role in HOLDERS.get(permission, ()))
    if principal.kind is PrincipalKind.USER:
        role = ", ".join(principal.roles)
        giver = "An owner" if HOLDERS.get(permission) == OWNERS else "An owner or admin"
        return (
            f"This needs the permission {permission}. Your role here is {role}, which does not include it; "
            f"{holders} does. {giver} can change your role under Team."
        )
    return (
        f"This needs the permission {permission}, which is not among the scopes of this key. "
        f"Somebody whose role is {holders} can make a key with it under API keys."
    )

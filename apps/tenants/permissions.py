"""The one table of roles and permissions."""

from apps.tenants.contracts import Role

THINGS = (
    "customers", "orders", "leads", "conversations", "documents", "workflows",
    "runs", "router", "usage", "api_keys", "audit", "settings",
)  # fmt: skip
READS = frozenset(f"read:{thing}" for thing in THINGS)
WRITES = frozenset(f"write:{thing}" for thing in THINGS)
ALL = READS | WRITES
AGENT_WRITES = frozenset(
    f"write:{thing}" for thing in ("customers", "orders", "leads", "conversations", "router")
)
SENSITIVE = frozenset({"read:api_keys", "read:audit"})

ROLE_PERMISSIONS: dict[Role, frozenset[str]] = {
    Role.OWNER: ALL,
    Role.ADMIN: ALL,
    Role.AGENT: (READS - SENSITIVE) | AGENT_WRITES,
    Role.ANALYST: READS - SENSITIVE,
    Role.VIEWER: READS - SENSITIVE - {"read:usage"},
}

# The two coarse scopes that an API key may carry instead of single permissions.
COARSE_SCOPES: dict[str, frozenset[str]] = {"api:read": READS, "api:write": ALL}


def expand_scopes(scopes: list[str] | tuple[str, ...]) -> frozenset[str]:
    """Return the permissions that an API key's scopes stand for; an unknown scope grants nothing."""
    granted: set[str] = set()
    for scope in scopes:
        granted |= COARSE_SCOPES.get(scope, frozenset({scope}) & ALL)
    return frozenset(granted)

"""Every endpoint, page and frame says what it needs, in the words of the one table."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from aiaas.access import DECLARED, STAFF, list_doorways
from aiaas.management.commands.list_permissions import PAGE, write_permissions
from apps.resilience.errors import NotAllowed
from apps.tenants.contracts import OPEN, SIGNED_IN, Principal, PrincipalKind, Role
from apps.tenants.dashboard import member_page
from apps.tenants.permissions import (
    ALL,
    COARSE_SCOPES,
    READS,
    ROLE_PERMISSIONS,
    MissingPermission,
    assert_may_assign,
    assert_may_grant,
    is_declared,
    require,
)

HOW = (
    "Say what each of these needs: member_page(read=…, write=…) for a page, required_scopes for an API view, "
    "a line in aiaas/access.py for a library's view; the permissions are in apps/tenants/permissions.py"
)


def principal(tenant, role: Role) -> Principal:
    granted = ROLE_PERMISSIONS[role]
    return Principal(PrincipalKind.USER, "1", tenant, roles=(role.value,), permissions=granted)


def key(tenant, *scopes: str) -> Principal:
    return Principal(PrincipalKind.API_KEY, "ak_1", tenant, permissions=frozenset(scopes))


def test_every_doorway_declares_exactly_one_permission():
    undeclared = [
        door for door in list_doorways() if not is_declared(door.permission) and door.permission != STAFF
    ]
    assert undeclared == [], HOW


def test_a_doorway_declares_one_permission_only():
    seen = [(door.path, door.method) for door in list_doorways()]
    assert [door for door in seen if seen.count(door) > 1 and door[1] != "any"] == []


def test_no_declaration_outlives_its_route():
    paths = [door.path for door in list_doorways() if door.method == "any"]
    assert [start for start in DECLARED if not any(path.startswith(f"/{start}") for path in paths)] == []


def test_the_page_of_the_docs_is_up_to_date():
    assert PAGE.read_text() == write_permissions(), "run: manage.py list_permissions --write"


@pytest.mark.parametrize(
    "declared",
    [{}, {"write": "write:orders"}, {"read": "read:orderz"}, {"read": "read:orders", "post_only": True}],
)
def test_a_page_that_does_not_say_what_it_needs_is_refused_at_the_start(declared):
    with pytest.raises(ImproperlyConfigured, match="permission of the table"):
        member_page(**declared)(lambda request: None)


def test_what_is_the_owners_alone():
    assert ROLE_PERMISSIONS[Role.OWNER] == ALL
    assert ALL - ROLE_PERMISSIONS[Role.ADMIN] == {"write:billing", "write:company"}
    assert ROLE_PERMISSIONS[Role.VIEWER] < ROLE_PERMISSIONS[Role.ANALYST] < READS
    assert COARSE_SCOPES["api:write"] == ROLE_PERMISSIONS[Role.ADMIN]


def test_a_refusal_says_what_is_missing_and_who_can_give_it(acme):
    with pytest.raises(MissingPermission) as refused:
        require(principal(acme, Role.ADMIN), "write:billing")
    assert refused.value.members == {"missing_permission": "write:billing", "roles_with_it": ["owner"]}
    assert "write:billing" in refused.value.detail
    assert "An owner can change your role" in refused.value.detail
    with pytest.raises(MissingPermission, match=r"scopes of this key.*owner or admin"):
        require(key(acme, "read:orders"), "write:documents")
    for known in (principal(acme, Role.VIEWER), key(acme)):
        require(known, SIGNED_IN)
        require(known, OPEN)


def test_nobody_gives_a_key_more_than_they_hold(acme):
    admin = principal(acme, Role.ADMIN)
    assert_may_grant(admin, ["api:write", "api:read", "write:secrets"])
    for scopes in (["write:billing"], ["api:read", "write:company"]):
        with pytest.raises(NotAllowed, match="You do not hold write:"):
            assert_may_grant(admin, scopes)
    with pytest.raises(NotAllowed):
        assert_may_grant(key(acme, "write:api_keys", "read:orders"), ["api:read"])


def test_nobody_gives_or_takes_a_role_above_their_own():
    assert_may_assign(Role.OWNER, *Role)
    assert_may_assign(Role.ADMIN, Role.ADMIN, Role.VIEWER)
    with pytest.raises(NotAllowed, match="Ask an owner"):
        assert_may_assign(Role.ADMIN, Role.VIEWER, Role.OWNER)

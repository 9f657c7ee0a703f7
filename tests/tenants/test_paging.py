"""Pages by keyset: every row once, and nothing breaks on a cursor that is not ours."""

import pytest

from apps.crm.models import Customer
from apps.crm.services import create_customer
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.paging import paginate


@pytest.mark.parametrize(("by", "then"), [("-id", ""), ("id", ""), ("name", "id"), ("-created_at", "-id")])
def test_every_row_comes_once(acme: TenantRef, by: str, then: str):
    made = {create_customer(tenant=acme, name=f"Name {n % 3}").id for n in range(11)}
    seen, cursor = [], ""
    with in_tenant(acme):
        while True:
            page = paginate(Customer.objects.all(), cursor, by=by, then=then, size=4)
            seen += [row.id for row in page.items]
            cursor = page.next_cursor
            if not cursor:
                break
    assert len(seen) == 11
    assert set(seen) == made


@pytest.mark.parametrize("cursor", ["x", "%%%", "WyJ4Il0", "WzFd", "e30", "W251bGxd", "WyJcdTAwMDAiXQ", "é"])
def test_a_cursor_that_is_not_ours_gives_the_first_page(acme: TenantRef, cursor: str):
    create_customer(tenant=acme, name="One")
    with in_tenant(acme):
        page = paginate(Customer.objects.all(), cursor)
    assert page.is_first
    assert len(page.items) == 1

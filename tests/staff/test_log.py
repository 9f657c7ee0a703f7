"""The staff's log: what members of the staff do at the door is in it, and nothing ever leaves it."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.db import DatabaseError, connections, transaction
from django.test import Client
from django.urls import reverse

from apps.tenants.context import OWNER, PLATFORM
from apps.tenants.contracts import TenantRef
from apps.tenants.identity.services import keep_address
from tests.accounts.factors import set_up_app
from tests.live import LiveDatabase
from tests.pages import PASSWORD, log_in, member_of
from tests.staff.test_admin import staff

pytestmark = pytest.mark.usefixtures("valkey")
LOGIN, LOG = "/accounts/login/", "admin:admin_logentry_changelist"


def staff_member():
    user = get_user_model().objects.create_superuser("sam@platform.example", PASSWORD)
    keep_address(user_id=user.id, email=user.email, is_verified=True)
    return user


def told() -> list[str]:
    return list(LogEntry.objects.order_by("id").values_list("change_message", flat=True))


def test_log_ins_and_factors_of_staff_without_a_company_are_told(live_db: LiveDatabase):
    user, client = staff_member(), Client(REMOTE_ADDR="203.0.113.9")
    client.post(LOGIN, {"login": user.email, "password": "wrong"})
    assert client.post(LOGIN, {"login": user.email, "password": PASSWORD}).status_code == 302
    set_up_app(client)
    client.post("/accounts/logout/")
    acts = [entry.split(",")[0] for entry in told()]
    assert acts[:2] == ["login.failed", "login.succeeded"]
    assert acts[-1] == "login.ended"
    assert any("factor.added, factor: totp, from 203.0.113.9" in entry for entry in told())
    page = staff(live_db).get(reverse(LOG), {"q": user.email}).content.decode()
    assert "login.failed, from 203.0.113.9" in page
    assert "login.ended" in page


def test_a_failed_log_in_over_the_api_is_told_as_well(live_db: LiveDatabase):
    user = staff_member()
    body = {"email": user.email, "password": "wrong"}
    assert Client().post("/api/v1/auth/token", body, content_type="application/json").status_code == 401
    assert told() == ["login.failed, via: api, from 127.0.0.1"]


def test_members_who_are_no_staff_are_in_their_companies_trail_only(live_db: LiveDatabase, acme: TenantRef):
    Client().post(LOGIN, {"login": member_of(acme), "password": "wrong"})
    log_in(acme).post("/accounts/logout/")
    assert told() == []


@pytest.mark.parametrize("alias", ["default", PLATFORM])
@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE django_admin_log SET change_message = ''",
        "DELETE FROM django_admin_log",
        "TRUNCATE django_admin_log",
    ],
)
def test_no_role_of_the_product_changes_it(live_db: LiveDatabase, alias: str, sql: str):
    staff_member()
    Client().post(LOGIN, {"login": "sam@platform.example", "password": "wrong"})
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic(using=alias):
        connections[alias].cursor().execute(sql)
    with connections[OWNER].cursor() as owner:
        owner.execute("GRANT UPDATE, DELETE, TRUNCATE ON django_admin_log TO aiaas_app, aiaas_platform")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(using=alias):
        connections[alias].cursor().execute(sql)
    assert told() == ["login.failed, from 127.0.0.1"]

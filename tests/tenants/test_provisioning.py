"""A tenant is made whole or not at all."""

import io

import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from apps.resilience.errors import ConflictError, DomainError, InvalidInput, NotFoundError
from apps.tenants.context import OWNER, in_tenant
from apps.tenants.identity.services import authenticate_user
from apps.tenants.models import ApiKey, Membership, Tenant, WidgetKey
from apps.tenants.selectors import get_tenant
from apps.tenants.services import authenticate_api_key, provision_tenant
from tests.tenants.test_schemas import describe


def test_the_command_makes_a_tenant_that_works(live_db):
    out = io.StringIO()
    call_command("create_tenant", "initech", "--owner", "Bill@Initech.example", stdout=out)
    printed = out.getvalue()
    tenant = get_tenant(slug="initech")
    token = next(word for word in printed.split() if word.startswith("ak_"))
    assert authenticate_api_key(token).tenant == tenant
    password = printed.split("password ")[1].split()[0]
    assert authenticate_user(email="bill@initech.example", password=password).roles == ("owner",)
    with in_tenant(tenant):
        assert WidgetKey.objects.count() == Membership.objects.count() == ApiKey.objects.count() == 1


@pytest.mark.parametrize("slug", ["", "A", "1abc", "has space", 'quo"te', "x" * 41, "under_score"])
def test_a_bad_slug_is_refused(live_db, slug: str):
    with pytest.raises(InvalidInput):
        provision_tenant(slug=slug, name="x")


def test_a_taken_slug_is_refused_and_the_tenant_stays(live_db, acme):
    with pytest.raises(ConflictError):
        provision_tenant(slug="acme", name="Other")
    assert get_tenant(slug="acme") == acme
    assert describe("t_acme")["columns"]


def test_an_unknown_plan_leaves_nothing_behind(live_db):
    with pytest.raises(DomainError):
        provision_tenant(slug="initrode", name="x", plan="golden")
    assert not Tenant.objects.using(OWNER).filter(slug="initrode").exists()
    assert describe_is_empty("t_initrode")
    with pytest.raises(NotFoundError):
        get_tenant(slug="initrode")


def test_a_bad_owner_leaves_nothing_behind(live_db):
    with pytest.raises(CommandError, match="e-mail"):
        call_command("create_tenant", "initrode", "--owner", "nobody")
    assert not Tenant.objects.using(OWNER).filter(slug="initrode").exists()


def test_an_interrupted_tenant_is_finished_by_the_next_call(live_db, monkeypatch):
    monkeypatch.setattr("apps.tenants.services._give_defaults", _die)
    with pytest.raises(KeyboardInterrupt):
        provision_tenant(slug="hooli", name="Hooli")
    monkeypatch.undo()
    tenant = provision_tenant(slug="hooli", name="Hooli")
    with in_tenant(tenant):
        assert WidgetKey.objects.count() == 1


def describe_is_empty(schema: str) -> bool:
    with connections[OWNER].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_namespace WHERE nspname = %s", [schema])
        return cursor.fetchone() == (0,)


def _die(*args, **kwargs):
    raise KeyboardInterrupt

"""The tenant context: fails closed, sets both, leaks nothing."""

import threading

import pytest
from django.db import DatabaseError, connection, transaction

from apps.tenants.context import (
    NoTenantContext,
    NoTransaction,
    TenantMismatch,
    ask_first,
    current_tenant,
    in_tenant,
    tenant_context,
)
from apps.tenants.contracts import TenantRef
from apps.tenants.models import ApiKey, WidgetKey
from apps.tenants.services import create_api_key


def settings_of_session() -> tuple[str, str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('search_path'), current_setting('app.current_tenant_id', true)"
        )
        path, tenant_id = cursor.fetchone()
    return path, tenant_id or ""


def test_both_are_set_inside_and_gone_outside(live_db, acme: TenantRef):
    with in_tenant(acme):
        assert settings_of_session() == ('"t_acme", public', str(acme.id))
    assert "t_acme" not in settings_of_session()[0]
    assert settings_of_session()[1] == ""


ASK = "SELECT current_setting('app.current_tenant_id'), current_schema(), %s::text"


def test_a_transactions_first_question_is_asked_in_its_context(live_db, acme: TenantRef, globex: TenantRef):
    for tenant in (acme, globex):
        with in_tenant(tenant):
            assert ask_first(ASK, [None]) == [(str(tenant.id), tenant.schema, None)]
            assert ask_first(ASK, ["it's"]) == [(str(tenant.id), tenant.schema, "it's")], (
                "not the first any more"
            )
            assert settings_of_session() == (f'"{tenant.schema}", public', str(tenant.id))
    assert settings_of_session()[1] == ""


def test_a_failed_first_question_leaves_nothing_behind(live_db, acme: TenantRef, globex: TenantRef):
    with pytest.raises(DatabaseError), in_tenant(acme):
        ask_first("SELECT (1 / 0)::text", [])
    with in_tenant(globex):
        assert ask_first(ASK, ["x"]) == [(str(globex.id), globex.schema, "x")]


def test_a_first_question_without_a_tenant_finds_none(live_db):
    with transaction.atomic():
        assert ask_first("SELECT current_setting('app.current_tenant_id', true)", [])[0][0] in (None, "")


def test_a_query_without_context_raises(live_db, acme: TenantRef):
    with pytest.raises(NoTenantContext):
        list(ApiKey.objects.all())
    with transaction.atomic(), pytest.raises(NoTenantContext):
        ApiKey.objects.count()


def test_a_query_outside_a_transaction_raises(live_db, acme: TenantRef):
    with tenant_context(acme):
        for query in (
            ApiKey.objects.exists,
            ApiKey.objects.all().delete,
            lambda: ApiKey.objects.update(name="x"),
        ):
            with pytest.raises(NoTransaction):
                query()


def test_raw_sql_without_context_sees_no_rows(live_db, acme: TenantRef):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM tenants_widgetkey")
        assert cursor.fetchone() == (0,)


def test_each_tenant_sees_its_own(live_db, acme: TenantRef, globex: TenantRef):
    create_api_key(tenant=acme, name="one", scopes=["api:read"])
    with in_tenant(globex):
        assert not ApiKey.objects.exists()
        assert WidgetKey.objects.get().tenant_id == globex.id
    with in_tenant(acme):
        assert ApiKey.objects.get().name == "one"


def test_a_rolled_back_savepoint_does_not_lose_the_tenant(live_db, acme: TenantRef):
    with in_tenant(acme):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            assert WidgetKey.objects.count() == 1
            raise ZeroDivisionError
        assert settings_of_session()[1] == str(acme.id)
        assert WidgetKey.objects.count() == 1


def test_the_first_statement_inside_a_savepoint_that_fails(live_db, acme: TenantRef):
    with in_tenant(acme):
        with pytest.raises(Exception, match="division"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT 1/0")
        assert WidgetKey.objects.count() == 1


def test_an_open_cursor_follows_the_context(live_db, acme: TenantRef, globex: TenantRef):
    with transaction.atomic(), connection.cursor() as cursor:
        seen = []
        for tenant in (acme, globex):
            with tenant_context(tenant):
                cursor.execute("SELECT tenant_id FROM tenants_widgetkey")
                seen += [row[0] for row in cursor.fetchall()]
        assert seen == [acme.id, globex.id]


def test_one_transaction_serves_one_tenant(live_db, acme: TenantRef, globex: TenantRef):
    with in_tenant(acme), pytest.raises(TenantMismatch), in_tenant(globex):
        pytest.fail("entered")


def test_nesting_for_the_same_tenant_joins(live_db, acme: TenantRef):
    with in_tenant(acme):
        create_api_key(tenant=acme, name="kept?", scopes=["api:read"])
        with pytest.raises(ZeroDivisionError), in_tenant(acme):
            raise ZeroDivisionError
        assert ApiKey.objects.count() == 1


def test_an_error_undoes_the_whole_transaction(live_db, acme: TenantRef):
    with pytest.raises(ZeroDivisionError), in_tenant(acme):
        create_api_key(tenant=acme, name="gone", scopes=["api:read"])
        raise ZeroDivisionError
    with in_tenant(acme):
        assert ApiKey.objects.count() == 0


def test_a_new_thread_has_no_tenant(live_db, acme: TenantRef):
    seen = []
    with in_tenant(acme):
        thread = threading.Thread(target=lambda: seen.append(current_tenant()))
        thread.start()
        thread.join()
    assert seen == [None]


def test_rows_cannot_be_written_for_another_tenant(live_db, acme: TenantRef, globex: TenantRef):
    with pytest.raises(Exception, match="row-level security"), in_tenant(acme):
        ApiKey.objects.create(key_id="ak_x", tenant_id=globex.id, name="x", secret_hash="x")

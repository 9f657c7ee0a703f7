import datetime as dt
import threading
import time
from uuid import UUID

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connections
from django.http import HttpResponse
from django.test import RequestFactory
from django.utils import timezone
from uuid_utils.compat import uuid7

from apps.gateway import idempotency
from apps.gateway.idempotency import Standing, claim_write, fingerprint_of, purge_records, settle_write
from apps.gateway.middleware.idempotency import IdempotencyMiddleware
from apps.gateway.models import IdempotencyRecord
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Principal, PrincipalKind


class View:
    """A write that counts how often it happened."""

    def __init__(self, status=201, seconds=0.0, headers=None) -> None:
        self.status, self.seconds, self.headers = status, seconds, headers or {}
        self.calls = 0

    def __call__(self, request) -> HttpResponse:
        self.calls += 1
        time.sleep(self.seconds)
        return HttpResponse(f'{{"call":{self.calls}}}', "application/json", self.status, headers=self.headers)


def write(tenant, key="k1", body=b'{"a":1}', path="/api/v1/orders", principal="ak_1", method="POST"):
    headers = {"Idempotency-Key": key} if key is not None else {}
    request = RequestFactory().generic(method, path, body, "application/json", headers=headers)
    request.principal = Principal(kind=PrincipalKind.API_KEY, id=principal, tenant=tenant)
    request.tenant = tenant
    return request


def records(tenant) -> int:
    with in_tenant(tenant):
        return IdempotencyRecord.objects.count()


def test_the_same_request_gets_the_same_answer_and_happens_once(acme):
    view = View(headers={"Location": "/api/v1/orders/1"})
    middleware = IdempotencyMiddleware(view)
    first, again = middleware(write(acme)), middleware(write(acme))
    assert view.calls == 1
    assert (again.status_code, again.content, again["Location"]) == (201, first.content, "/api/v1/orders/1")
    assert again["Content-Type"] == "application/json"
    assert again["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first


@pytest.mark.parametrize(
    "other",
    [{"body": b'{"a":2}'}, {"path": "/api/v1/leads"}, {"method": "PATCH"}, {"path": "/api/v1/orders?x=1"}],
)
def test_another_request_under_the_same_key_is_422(acme, other):
    view = View()
    middleware = IdempotencyMiddleware(view)
    middleware(write(acme))
    refused = middleware(write(acme, **other))
    assert (refused.status_code, view.calls) == (422, 1)


def test_keys_belong_to_their_tenant_and_principal(acme, globex):
    view = View()
    middleware = IdempotencyMiddleware(view)
    for tenant, principal in ((acme, "ak_1"), (acme, "ak_2"), (globex, "ak_1")):
        assert "Idempotent-Replayed" not in middleware(write(tenant, principal=principal))
    assert view.calls == 3


@pytest.mark.parametrize("status", [400, 404, 409, 429, 500, 503])
def test_an_answer_without_effect_frees_the_key(acme, status):
    view = View(status=status)
    middleware = IdempotencyMiddleware(view)
    middleware(write(acme))
    assert records(acme) == 0
    view.status = 201
    assert middleware(write(acme, body=b'{"a":"corrected"}')).status_code == 201


def test_a_view_that_raises_frees_the_key(acme):
    def view(request):
        raise KeyError

    with pytest.raises(KeyError):
        IdempotencyMiddleware(view)(write(acme))
    assert records(acme) == 0


def test_an_answer_with_a_secret_is_not_kept(acme):
    middleware = IdempotencyMiddleware(View(headers={"Cache-Control": "no-store"}))
    middleware(write(acme))
    again = middleware(write(acme))
    assert again.status_code == 409
    with in_tenant(acme):
        assert IdempotencyRecord.objects.get().body is None


def test_without_the_header_nothing_is_asked_of_the_database(acme, django_assert_num_queries):
    middleware = IdempotencyMiddleware(View())
    with django_assert_num_queries(0):
        middleware(write(acme, key=None))
        middleware(write(acme, method="GET"))


def test_a_write_with_a_key_costs_two_short_transactions(acme, django_assert_num_queries):
    with django_assert_num_queries(6):  # claim and answer, each one statement in a savepoint here
        IdempotencyMiddleware(View())(write(acme))


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "é"])
def test_a_bad_key_is_400(acme, key):
    view = View()
    assert IdempotencyMiddleware(view)(write(acme, key=key)).status_code == 400
    assert view.calls == 0


def claim(tenant, fingerprint="f"):
    return claim_write(tenant=tenant, principal="p", key="k", fingerprint=fingerprint)


def end_lease(tenant):
    with in_tenant(tenant):
        IdempotencyRecord.objects.update(lease_until=timezone.now() - dt.timedelta(seconds=1))


def test_a_dead_holders_key_is_free_once_its_lease_ends(acme):
    dead = claim(acme)
    assert claim(acme).standing is Standing.RUNNING
    end_lease(acme)
    assert claim(acme, "other").standing is Standing.OTHER_REQUEST
    heir = claim(acme)
    assert heir.standing is Standing.CLAIMED
    settle_write(dead.claim, HttpResponse("late"))
    assert claim(acme).standing is Standing.RUNNING, "a holder without its lease cannot answer"
    settle_write(heir.claim, HttpResponse("mine"))
    assert claim(acme).answer.content == b"mine"


def test_a_running_request_is_waited_for_a_while_and_then_409(acme, monkeypatch):
    monkeypatch.setattr("apps.gateway.middleware.idempotency.WAIT_S", 0.1)
    request = write(acme)
    claim_write(tenant=acme, principal="api_key:ak_1", key="k1", fingerprint=fingerprint_of(request))
    refused = IdempotencyMiddleware(View())(write(acme))
    assert refused.status_code == 409
    assert refused["Retry-After"]


def test_of_concurrent_requests_one_happens_and_all_get_its_answer(live_db, acme):
    view = View(seconds=0.3)
    middleware = IdempotencyMiddleware(view)
    answers: list[HttpResponse] = []

    def call():
        try:
            answers.append(middleware(write(acme)))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=call) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert view.calls == 1
    assert {answer.content for answer in answers} == {b'{"call":1}'}
    assert sum("Idempotent-Replayed" in answer for answer in answers) == 5


def test_old_answers_of_every_tenant_are_forgotten(live_db, acme, globex):
    for tenant in (acme, globex):
        IdempotencyMiddleware(View())(write(tenant))
    with in_tenant(acme):
        IdempotencyRecord.objects.update(created_at=timezone.now() - dt.timedelta(days=3))
    assert purge_records(older_than=dt.timedelta(days=2)) == 1
    assert (records(acme), records(globex)) == (0, 1)


def form(name="a.txt", content=b"hello", title="T"):
    file = SimpleUploadedFile(name, content)
    return RequestFactory().post("/api/v1/documents", {"title": title, "file": file})


def test_a_forms_fingerprint_is_its_fields_and_files_not_its_boundary():
    assert fingerprint_of(form()) == fingerprint_of(form())
    others = [form(name="b.txt"), form(content=b"other"), form(title="U")]
    assert len({fingerprint_of(request) for request in [form(), *others]}) == 4
    request = form()
    fingerprint_of(request)
    assert request.FILES["file"].read() == b"hello", "the view still reads the file from its start"


def test_through_the_whole_chain_a_key_creates_one_thing(acme, api):
    body = {"name": "once", "scopes": ["read:usage"]}
    headers = {"Idempotency-Key": str(UUID(int=7))}
    codes = [
        api.post("/api/v1/api-keys", body, content_type="application/json", headers=headers).status_code
        for _ in range(2)
    ]
    assert codes == [201, 409]
    names = [key["name"] for key in api.get("/api/v1/api-keys").json()["results"]]
    assert names.count("once") == 1


def test_the_claim_sql_names_the_models_table():
    assert f"INTO {IdempotencyRecord._meta.db_table} " in idempotency.CLAIM_SQL
    assert uuid7().version == 7

import socket
import threading

import pytest
from django.test import Client

from apps.gateway import health


@pytest.fixture
def anyone() -> Client:
    return Client()


def test_alive_asks_nobody(anyone, django_assert_num_queries, db):
    with django_assert_num_queries(0):
        assert anyone.get("/healthz").json() == {"status": "ok"}


def test_ready_when_everything_answers(anyone, db, valkey):
    answer = anyone.get("/readyz")
    assert answer.json() == {
        "status": "ok",
        "checks": {"database": "ok", "migrations": "ok", "valkey": "ok", "nats": "ok"},
    }


@pytest.mark.parametrize(
    ("setting", "value", "check"),
    [
        ("REDIS_URL", "redis://127.0.0.1:1", "valkey"),
        ("NATS_URL", "nats://127.0.0.1:1", "nats"),
    ],
)
def test_not_ready_names_what_does_not_answer(anyone, db, settings, setting, value, check):
    setattr(settings, setting, value)
    answer = anyone.get("/readyz")
    assert answer.status_code == 503
    assert {name for name, word in answer.json()["checks"].items() if word != "ok"} == {check}
    assert value not in answer.content.decode()


def test_what_is_not_nats_does_not_pass_for_it(settings):
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings.NATS_URL = f"nats://127.0.0.1:{server.getsockname()[1]}"

        def greet():
            with server.accept()[0] as connection:
                connection.sendall(b"+OK\r\n")

        greeter = threading.Thread(target=greet)
        greeter.start()
        with pytest.raises(RuntimeError, match="not NATS"):
            health.check_nats()
        greeter.join()


def test_missing_migrations_are_noticed_and_completeness_is_remembered(db, monkeypatch):
    monkeypatch.setattr(health, "_migrated", [])
    monkeypatch.setattr(
        "django.db.migrations.executor.MigrationExecutor.migration_plan",
        lambda *a: [("billing.0009_x", False)],
    )
    with pytest.raises(RuntimeError, match=r"billing\.0009_x"):
        health.check_migrations()
    monkeypatch.undo()
    monkeypatch.setattr(health, "_migrated", [])
    health.check_migrations()
    assert health._migrated == [True]


def test_metrics_carry_the_designs_names(anyone, api):
    api.get("/api/v1/me")
    body = anyone.get("/metrics").content.decode()
    assert 'request_duration_seconds_bucket{endpoint="/api/v1/me",le="0.005",method="GET",service=' in body
    assert "rate_limit_fallback_total" in body
    assert "billing_usage_total" in body


def test_metrics_tell_how_many_hints_wait(anyone, valkey, settings):
    valkey.rpush("celery", "a", "b", "c")
    assert 'queue_depth{queue_name="celery"} 3.0' in anyone.get("/metrics").content.decode()
    settings.REDIS_URL = "redis://127.0.0.1:1"
    assert anyone.get("/metrics").status_code == 200


def test_the_schema_and_its_page_are_public(anyone, db, valkey):
    schema = anyone.get("/api/schema/", headers={"Accept": "application/json"}).json()
    assert "Problem" in schema["components"]["schemas"]
    me = schema["paths"]["/api/v1/me"]["get"]
    assert me["security"] == [{"bearer": []}, {"apiKey": []}]
    assert me["responses"]["401"]["content"]["application/problem+json"]
    assert anyone.get("/api/docs/").status_code == 200

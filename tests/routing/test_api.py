"""Routing over REST, with real credentials."""

import pytest
from django.test import Client

from apps.gateway import limits
from apps.routing import services
from apps.tenants.contracts import TenantRef
from apps.tenants.services import create_api_key

pytestmark = pytest.mark.usefixtures("_fresh_limits")


@pytest.fixture
def _fresh_limits(valkey: object) -> None:
    limits.limiter.cache_clear()
    limits.PLAN_RATES.forget()


def client_of(tenant: TenantRef, *scopes: str) -> Client:
    key = create_api_key(tenant=tenant, name="test", scopes=list(scopes))
    return Client(headers={"Authorization": f"Api-Key {key.token}"}, raise_request_exception=False)


def test_a_route_is_shown_without_effect(acme: TenantRef) -> None:
    reader = client_of(acme, "read:router")
    answer = reader.post("/api/v1/route", {"text": "Where is my order 1042?"}, "application/json")
    assert answer.status_code == 200, answer.content
    shown = answer.json()
    assert (shown["intent"], shown["tier"], shown["escalate"]) == ("order_status", "rules", False)
    assert shown["confidence"] > 0.7
    assert len(shown["alternatives"]) == 3
    assert shown["reasons"]
    assert shown["latency_ms"] > 0
    assert reader.get("/api/v1/router/models").json()["results"] == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"text": ""},
        {"text": "   "},
        {"text": "x" * 20_001},
        {"text": "hi", "history": "no"},
        {"text": "hi", "customer_id": "no"},
        {"text": {"a": 1}},
    ],
)
def test_a_bad_question_is_explained(acme: TenantRef, body: dict) -> None:
    answer = client_of(acme, "read:router").post("/api/v1/route", body, "application/json")
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["errors"]


def test_a_correction_trains_the_next_version(acme: TenantRef, globex: TenantRef) -> None:
    teacher = client_of(acme, "read:router", "write:router")
    text = "Kindly expedite PO 77-B"
    kept = teacher.post(
        "/api/v1/router/feedback", {"text": text, "intent": "order_change"}, "application/json"
    )
    assert (kept.status_code, kept.json()["is_new"]) == (201, True)
    trained = teacher.post("/api/v1/router/models")
    assert trained.status_code == 201, trained.content
    assert trained.json()["version"] == 1
    (listed,) = teacher.get("/api/v1/router/models").json()["results"]
    assert listed == trained.json()
    shown = teacher.post("/api/v1/route", {"text": text}, "application/json").json()
    assert (shown["intent"], shown["model_version"]) == ("order_change", "v1")
    assert client_of(globex, "read:router").get("/api/v1/router/models").json()["results"] == []


def test_intents_are_listed_added_and_removed(acme: TenantRef) -> None:
    teacher = client_of(acme, "read:router", "write:router")
    new = {"name": "lost_parrot", "examples": ["my parrot escaped", "the parrot is gone"]}
    added = teacher.post("/api/v1/router/intents", new, "application/json")
    assert (added.status_code, added.json()["examples"]) == (201, 2)
    assert teacher.post("/api/v1/router/intents", new, "application/json").status_code == 409
    names = {intent["name"] for intent in teacher.get("/api/v1/router/intents").json()["results"]}
    assert names == {*services.default_intents(), "lost_parrot"}
    poor = teacher.post("/api/v1/router/models")
    assert poor.status_code == 400
    assert "lost_parrot" in poor.json()["detail"]
    assert teacher.delete("/api/v1/router/intents/lost_parrot").status_code == 204
    assert teacher.delete("/api/v1/router/intents/lost_parrot").status_code == 404


def test_an_unknown_intent_is_refused_with_the_known_ones(acme: TenantRef) -> None:
    wrong = {"text": "hello", "intent": "nonsense"}
    answer = client_of(acme, "write:router").post("/api/v1/router/feedback", wrong, "application/json")
    assert answer.status_code == 400
    assert "smalltalk" in answer.json()["errors"]["intent"][0]


@pytest.mark.parametrize("path", ["feedback", "models", "intents"])
def test_teaching_needs_the_right_to_write(acme: TenantRef, path: str) -> None:
    body = {"text": "hello", "intent": "faq", "name": "mine"}
    answer = client_of(acme, "read:router").post(f"/api/v1/router/{path}", body, "application/json")
    assert answer.status_code == 403
    assert Client().post(f"/api/v1/router/{path}", body, "application/json").status_code == 401

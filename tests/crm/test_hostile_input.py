"""Whatever is sent: an answer that says what to do, never a failure of ours."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

BASE = "/api/v1"
ID = "01a2055c-e123-7096-81f5-de83367b9ad7"
TEXTS = st.text(max_size=12) | st.sampled_from(
    [
        "\x00",
        "\ud800",
        "=1+1",
        "a@b.co",
        "2026-02-31",
        "9" * 400,
        "placed",
        "held",
        "%00",
        ID,
        "api",
        "-0",
        "1e999",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
FIELDS = {
    "customers": ["name", "email", "phone", "external_id", "metadata"],
    "orders": [
        "number",
        "status",
        "items",
        "total_cents",
        "currency",
        "placed_at",
        "customer_id",
        "customer_email",
    ],
    "leads": ["name", "email", "phone", "message", "source"],
    "conversations": ["channel", "customer", "message"],
    f"conversations/{ID}/messages": ["text", "client_message_id"],
    f"conversations/{ID}/rating": ["score", "comment"],
    f"orders/{ID}/ship": ["carrier", "tracking_code"],
    f"escalations/{ID}/resolve": ["resolution"],
}
PARAMETERS = {
    "customers": ["email", "external_id", "name", "cursor", "page_size"],
    "orders": ["status", "number", "customer_id", "customer_email", "placed_after", "cursor"],
    "leads": ["status", "email", "source"],
    "conversations": ["status", "channel", "customer_id"],
    f"conversations/{ID}/messages": ["after_seq", "page_size"],
    "escalations": ["status", "queue", "conversation_id"],
}
HURRIED = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def check(response) -> None:
    assert response.status_code < 500, response.content
    if response.status_code >= 400:
        assert response["Content-Type"] == "application/problem+json"
        assert response.json()["title"]


@pytest.fixture(autouse=True)
def _unlimited(monkeypatch):
    monkeypatch.setattr("apps.gateway.limits.requests_per_minute", lambda tenant: 1_000_000)


@pytest.mark.parametrize("path", FIELDS)
def test_bodies(api, path):
    @HURRIED
    @given(st.dictionaries(st.sampled_from(FIELDS[path]), VALUES) | VALUES)
    def send(body):
        check(api.post(f"{BASE}/{path}", json.dumps(body), content_type="application/json"))

    send()


@pytest.mark.parametrize("path", PARAMETERS)
def test_parameters(api, path):
    @HURRIED
    @given(st.dictionaries(st.sampled_from(PARAMETERS[path]), TEXTS, min_size=1))
    def ask(query):
        query = {name: value.encode("utf-8", "replace").decode() for name, value in query.items()}
        check(api.get(f"{BASE}/{path}", query))

    ask()

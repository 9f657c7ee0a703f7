import pytest
from django.test import Client

from apps.conversations import services
from apps.conversations.contracts import CustomerInput
from apps.events.models import OutboxEvent
from apps.gateway import limits
from apps.tenants.context import in_tenant
from apps.tenants.services import create_api_key


def key_client(tenant, *scopes) -> Client:
    key = create_api_key(tenant=tenant, name="test", scopes=list(scopes or ("api:read", "api:write")))
    return Client(headers={"Authorization": f"Api-Key {key.token}"}, raise_request_exception=False)


def told(tenant, kind) -> list[dict]:
    """The envelopes of one type, in order."""
    with in_tenant(tenant):
        return [event.envelope for event in OutboxEvent.objects.filter(type=kind).order_by("position")]


@pytest.fixture
def _fresh_limits(valkey):
    limits.limiter.cache_clear()
    limits.PLAN_RATES.forget()


@pytest.fixture
def api(acme, _fresh_limits) -> Client:
    return key_client(acme)


@pytest.fixture
def foreign_api(globex, _fresh_limits) -> Client:
    return key_client(globex)


@pytest.fixture
def conversation(acme):
    return services.open_conversation(
        tenant=acme, channel="widget", customer=CustomerInput(email="ann@example.com"), visitor_id="v1"
    )

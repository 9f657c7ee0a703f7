import pytest
from django.test import Client

from apps.gateway import limits
from apps.tenants.contracts import Principal, TenantRef
from apps.tenants.services import create_api_key
from tests.gateway.tokens import member


@pytest.fixture(autouse=True)
def _fresh_limits(valkey):
    limits.limiter.cache_clear()
    limits.PLAN_RATES.forget()


def key_client(tenant, *scopes, **options) -> Client:
    """A client that sends an API key of the tenant."""
    key = create_api_key(
        tenant=tenant, name="test", scopes=list(scopes or ("api:read", "api:write")), **options
    )
    return Client(headers={"Authorization": f"Api-Key {key.token}"}, raise_request_exception=False)


@pytest.fixture
def api(acme) -> Client:
    return key_client(acme)


@pytest.fixture
def stranger() -> Client:
    return Client(raise_request_exception=False)


@pytest.fixture
def ada(acme: TenantRef) -> Principal:
    """The owner of Acme, who logs in with a password."""
    return member(acme)

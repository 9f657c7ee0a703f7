import pytest
from django.test import Client

from apps.gateway import limits
from apps.tenants.services import create_api_key


@pytest.fixture
def _fresh_limits(valkey):
    limits.limiter.cache_clear()
    limits.PLAN_RATES.forget()


def key_client(tenant, *scopes) -> Client:
    key = create_api_key(tenant=tenant, name="test", scopes=list(scopes or ("api:read", "api:write")))
    return Client(headers={"Authorization": f"Api-Key {key.token}"}, raise_request_exception=False)


@pytest.fixture
def api(acme, _fresh_limits) -> Client:
    return key_client(acme)


@pytest.fixture
def foreign_api(globex, _fresh_limits) -> Client:
    return key_client(globex)

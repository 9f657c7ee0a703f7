import pytest
from django.test import Client

from apps.tenants.services import create_api_key


@pytest.fixture
def api(acme, valkey) -> Client:
    key = create_api_key(tenant=acme, name="test", scopes=["api:read"])
    return Client(headers={"Authorization": f"Api-Key {key.token}"})

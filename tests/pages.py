"""Members who look at pages, for every test of the dashboard."""

import uuid

from django.contrib.auth import get_user_model
from django.test import Client

from apps.tenants.contracts import Role, TenantRef
from apps.tenants.services import add_member

PASSWORD = "a long enough password"


def member_of(tenant: TenantRef, role: Role = Role.OWNER) -> str:
    """Make a member and return their address."""
    email = f"{role}-{uuid.uuid4().hex[:8]}@{tenant.slug}.example"
    add_member(tenant=tenant, email=email, role=role, name=role.title(), password=PASSWORD)
    return email


def log_in(tenant: TenantRef, role: Role = Role.OWNER) -> Client:
    """Return a browser in which a new member of the tenant is logged in."""
    client = Client(headers={"Accept": "text/html"})
    user = get_user_model().objects.get(email=member_of(tenant, role))
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client

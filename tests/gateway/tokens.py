"""Log in over the API, and ask as whoever has a token."""

import threading

import jwt
from django.db import connections
from django.test import Client

from apps.gateway import families, signing
from apps.gateway.models import SigningKey
from apps.tenants import services
from apps.tenants.contracts import Principal, Role, TenantRef
from apps.tenants.identity.services import authenticate_user

PASSWORD = "correct horse battery staple"


def member(tenant: TenantRef, role: Role = Role.OWNER, email: str = "ada@acme.example") -> Principal:
    services.add_member(tenant=tenant, email=email, role=role, name="Ada", password=PASSWORD)
    found = authenticate_user(email=email, password=PASSWORD, tenant_slug=tenant.slug)
    assert found is not None
    return found


def post(path: str, **body):
    client = Client(raise_request_exception=False)
    return client.post(f"/api/v1/auth/{path}", body, content_type="application/json")


def me(token: str):
    client = Client(headers={"Authorization": f"Bearer {token}"}, raise_request_exception=False)
    return client.get("/api/v1/me")


def forget() -> None:
    """Be another process: remember nothing."""
    families.forget_all()
    signing.forget_all()


def at_once(act, times: int = 4) -> list:
    barrier, results = threading.Barrier(times), []

    def run() -> None:
        try:
            barrier.wait(10)
            results.append(act())
        except Exception as error:
            results.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return results


def forge(token: str, *, key=None, header=None, algorithm="RS256", **changes) -> str:
    """Sign a token's claims anew with changes, by our own key unless another is given."""
    claims = jwt.decode(token, options={"verify_signature": False}) | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    kid = jwt.get_unverified_header(token)["kid"]
    signer = key or signing._private_key(SigningKey.objects.get(kid=kid).private_key)
    headers = {"kid": kid, "typ": "at+jwt"} | (header or {})
    return jwt.encode(claims, signer, algorithm=algorithm, headers=headers)

import jwt
import pytest
from django.test import Client, RequestFactory

from apps.gateway.credentials import client_ip
from apps.tenants import services
from apps.tenants.contracts import Role
from tests.gateway.conftest import key_client

PASSWORD = "correct horse battery staple"


@pytest.fixture
def ada(acme):
    return services.add_member(
        tenant=acme, email="ada@acme.example", role=Role.OWNER, name="Ada", password=PASSWORD
    )


def login(client, **fields):
    given = {"email": "Ada@acme.example", "password": PASSWORD} | fields
    return client.post("/api/v1/auth/token", given, content_type="application/json")


def bearer(token) -> Client:
    return Client(headers={"Authorization": f"Bearer {token}"})


def test_login_gives_a_token_with_the_contracts_claims(stranger, ada, acme):
    answer = login(stranger)
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    claims = jwt.decode(answer.json()["access"], options={"verify_signature": False})
    assert {"sub", "tenant_id", "roles", "permissions", "iat", "exp"} <= claims.keys()
    assert claims["tenant_id"] == str(acme.id)
    assert claims["roles"] == ["owner"]
    me = bearer(answer.json()["access"]).get("/api/v1/me").json()
    assert (me["kind"], me["name"], me["tenant"]["slug"]) == ("user", "Ada", "acme")
    assert [m["tenant"]["slug"] for m in me["memberships"]] == ["acme"]
    assert "write:orders" in me["permissions"]


@pytest.mark.parametrize(
    "wrong", [{"password": "x"}, {"email": "eve@acme.example"}, {"tenant": "globex"}, {"email": "a\u0000b"}]
)
def test_a_wrong_login_is_refused_without_saying_what_was_wrong(stranger, ada, wrong):
    answer = login(stranger, **wrong)
    assert answer.status_code in (400, 401)
    assert "access" not in answer.json()


@pytest.mark.parametrize("field", ["email", "password"])
def test_a_login_names_its_missing_field(stranger, db, field):
    answer = login(stranger, **{field: ""})
    assert answer.status_code == 400
    assert answer.json()["errors"] == {field: ["This field may not be blank."]}


def test_refresh_gives_new_tokens_with_the_rights_of_today(stranger, ada, acme):
    refresh = login(stranger).json()["refresh"]
    services.add_member(tenant=acme, email="ada@acme.example", role=Role.VIEWER)
    answer = stranger.post(
        "/api/v1/auth/token/refresh", {"refresh": refresh}, content_type="application/json"
    )
    me = bearer(answer.json()["access"]).get("/api/v1/me").json()
    assert me["roles"] == ["viewer"]
    assert "write:orders" not in me["permissions"]


def test_refresh_refuses_what_is_no_refresh_token(stranger, ada):
    access = login(stranger).json()["access"]
    for wrong in (access, "x.y.z", ""):
        answer = stranger.post(
            "/api/v1/auth/token/refresh", {"refresh": wrong}, content_type="application/json"
        )
        assert answer.status_code in (400, 401)


@pytest.mark.parametrize("scheme", ["Api-Key", "Bearer", "bearer"])
def test_an_api_key_works_under_both_schemes(acme, scheme):
    token = services.create_api_key(tenant=acme, name="shop", scopes=["read:usage"]).token
    me = Client(headers={"Authorization": f"{scheme} {token}"}).get("/api/v1/me").json()
    assert (me["kind"], me["name"], me["permissions"]) == ("api_key", "shop", ["read:usage"])


@pytest.mark.parametrize(
    "header",
    ["Api-Key", "Api-Key ak_1.x", "Basic YTpi", "Bearer", "Bearer \u00e9", "Api-Key ak_" + "x" * 9000],
)
def test_a_bad_credential_is_refused_with_a_reason(db, header):
    answer = Client(headers={"Authorization": header}).get("/api/v1/me")
    assert answer.status_code == 401
    assert answer.json()["detail"]


def test_no_credential_is_401(stranger, db):
    assert stranger.get("/api/v1/me").status_code == 401


def test_a_bad_credential_does_not_stop_a_login(stranger, ada):
    answer = stranger.post(
        "/api/v1/auth/token",
        {"email": "ada@acme.example", "password": PASSWORD},
        content_type="application/json",
        headers={"Authorization": "Bearer stale"},
    )
    assert answer.status_code == 200


def test_a_scope_that_is_missing_is_403_and_names_itself(acme):
    answer = key_client(acme, "read:orders").get("/api/v1/usage")
    assert answer.status_code == 403
    assert "read:usage" in answer.json()["detail"]


def test_a_method_that_a_view_does_not_know_is_405(api):
    answer = api.delete("/api/v1/usage")
    assert answer.status_code == 405
    assert answer["Content-Type"] == "application/problem+json"


def test_api_keys_live_from_creation_to_revocation(acme):
    owner = key_client(acme)
    made = owner.post(
        "/api/v1/api-keys", {"name": "shop", "scopes": ["read:usage"]}, content_type="application/json"
    )
    assert made.status_code == 201
    token, key_id = made.json()["token"], made.json()["key_id"]
    shop = Client(headers={"Authorization": f"Api-Key {token}"})
    assert shop.get("/api/v1/usage").status_code == 200
    listed = {key["key_id"]: key for key in owner.get("/api/v1/api-keys").json()["results"]}
    assert token.partition(".")[2] not in str(listed)
    rotated = owner.post(f"/api/v1/api-keys/{key_id}/rotate", {}, content_type="application/json").json()
    new = Client(headers={"Authorization": f"Api-Key {rotated['token']}"})
    assert new.get("/api/v1/usage").status_code == 200
    assert owner.delete(f"/api/v1/api-keys/{rotated['key_id']}").status_code == 204
    assert owner.delete("/api/v1/api-keys/ak_none").status_code == 404


def test_a_key_may_not_give_more_than_it_has(acme):
    maker = key_client(acme, "write:api_keys", "read:usage")
    grant = {"name": "x", "scopes": ["api:write"]}
    assert maker.post("/api/v1/api-keys", grant, content_type="application/json").status_code == 403
    mighty = services.create_api_key(tenant=acme, name="mighty", scopes=["api:write"]).key_id
    rotation = maker.post(f"/api/v1/api-keys/{mighty}/rotate", {}, content_type="application/json")
    assert rotation.status_code == 403


def test_a_key_of_another_tenant_is_not_found(acme, globex):
    theirs = services.create_api_key(tenant=globex, name="theirs", scopes=["api:read"]).key_id
    assert key_client(acme).delete(f"/api/v1/api-keys/{theirs}").status_code == 404


@pytest.mark.parametrize(
    ("field", "value"),
    [("scopes", []), ("scopes", ["fly"]), ("name", ""), ("expires_at", "2020-01-01T00:00:00Z"),
     ("rate_limits", {"requests_per_minute": 0})],
)  # fmt: skip
def test_a_bad_key_request_says_which_field(api, field, value):
    body = {"name": "x", "scopes": ["read:usage"]} | {field: value}
    answer = api.post("/api/v1/api-keys", body, content_type="application/json")
    assert answer.status_code in (400, 403)
    assert answer.status_code == 403 or any(name.startswith(field) for name in answer.json()["errors"])


@pytest.mark.parametrize(
    ("forwarded", "proxies", "ip"),
    [("9.9.9.9", 0, "1.1.1.1"), ("6.6.6.6, 9.9.9.9", 1, "9.9.9.9"),
     ("6.6.6.6, 9.9.9.9, 8.8.8.8", 2, "9.9.9.9"),
     ("", 1, "1.1.1.1"), ("9.9.9.9", 3, "9.9.9.9")],
)  # fmt: skip
def test_only_our_own_proxies_are_believed(forwarded, proxies, ip):
    request = RequestFactory().get("/", REMOTE_ADDR="1.1.1.1", HTTP_X_FORWARDED_FOR=forwarded)
    assert client_ip(request, proxies) == ip

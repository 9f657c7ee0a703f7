"""Documents and search through the doorway."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from apps.gateway import limits
from apps.ingestion.services import process_document
from apps.tenants.contracts import TenantRef
from apps.tenants.services import create_api_key
from tests.ingestion.conftest import AddDocument


def client_of(tenant: TenantRef, *scopes: str) -> Client:
    key = create_api_key(tenant=tenant, name="test", scopes=list(scopes or ("api:read", "api:write")))
    return Client(headers={"Authorization": f"Api-Key {key.token}"}, raise_request_exception=False)


@pytest.fixture
def api(acme: TenantRef, valkey: object) -> Client:
    limits.limiter.cache_clear()
    limits.PLAN_RATES.forget()
    return client_of(acme)


def post(client: Client, path: str, body: dict) -> object:
    return client.post(path, body, content_type="application/json")


def test_from_upload_to_answer(api: Client, acme: TenantRef) -> None:
    upload = SimpleUploadedFile("returns.md", b"# Returns\nSend it back within 30 days.")
    created = api.post("/api/v1/documents", {"file": upload})
    assert created.status_code == 202
    document = created.json()
    assert document["status"] == "queued"
    assert created.headers["Location"] == f"/api/v1/documents/{document['id']}"
    process_document(tenant=acme, document_id=document["id"])
    ready = api.get(created.headers["Location"]).json()
    assert (ready["status"], ready["progress_percent"], ready["title"]) == ("ready", 100, "Returns")
    [hit] = post(api, "/api/v1/search", {"query": "how long can I return things", "top_k": 3}).json()[
        "results"
    ]
    assert hit["document_id"] == document["id"]
    assert hit["text"] == "Send it back within 30 days."
    assert set(hit) == {"document_id", "chunk_id", "title", "heading", "text", "score", "url"}
    assert api.delete(created.headers["Location"]).status_code == 204
    assert api.get(created.headers["Location"]).status_code == 404
    assert post(api, "/api/v1/search", {"query": "return"}).json() == {"results": []}


def test_lists_are_paged_and_filtered(api: Client, acme: TenantRef, add_ready: AddDocument) -> None:
    for number in range(3):
        add_ready(acme, title=f"Text {number}", text="Some text.")
    post(api, "/api/v1/documents", {"title": "Waiting", "text": "Some text."})
    page = api.get("/api/v1/documents?page_size=2").json()
    assert [document["title"] for document in page["results"]] == ["Waiting", "Text 2"]
    rest = api.get(page["next"]).json()
    assert [document["title"] for document in rest["results"]] == ["Text 1", "Text 0"]
    assert len(api.get("/api/v1/documents?status=ready").json()["results"]) == 3
    assert len(api.get("/api/v1/documents?title=wait").json()["results"]) == 1
    assert api.get("/api/v1/documents?status=odd").status_code == 400


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "file"),
        ({"text": "x"}, "title"),
        ({"title": "t", "text": "x", "url": "https://example.com"}, "file"),
        ({"url": "gopher://x"}, "url"),
        ({"title": {"a": 1}, "text": "x"}, "title"),
        ({"title": "t", "text": ["x"]}, "text"),
        ({"file": "not a file"}, "file"),
    ],
)
def test_bad_documents_are_problems(api: Client, body: dict, field: str) -> None:
    response = post(api, "/api/v1/documents", body)
    assert response.status_code == 400
    assert response.headers["Content-Type"] == "application/problem+json"
    assert field in response.json()["errors"]
    assert api.get("/api/v1/documents").json()["results"] == []


@pytest.mark.parametrize(
    "body",
    [{}, {"query": ""}, {"query": "x", "top_k": 0}, {"query": "x", "top_k": 101}, {"query": "x" * 2001}],
)
def test_bad_searches_are_problems(api: Client, body: dict) -> None:
    assert post(api, "/api/v1/search", body).status_code == 400


def test_an_empty_upload_is_a_problem(api: Client) -> None:
    response = api.post("/api/v1/documents", {"file": SimpleUploadedFile("a.txt", b"")})
    assert response.status_code == 400
    assert "empty" in response.json()["errors"]["file"][0]


def test_another_tenants_documents_are_not_there(
    api: Client, acme: TenantRef, globex: TenantRef, add_ready: AddDocument
) -> None:
    document = add_ready(acme, title="Secret", text="The secret is 42.")
    other = client_of(globex)
    path = f"/api/v1/documents/{document.id}"
    answers = [other.get(path), other.delete(path), other.post(f"{path}/reindex")]
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert other.get("/api/v1/documents").json()["results"] == []
    assert post(other, "/api/v1/search", {"query": "secret"}).json()["results"] == []
    assert api.get(path).status_code == 200


def test_reading_takes_a_scope_and_writing_another(api: Client, acme: TenantRef) -> None:
    reader = client_of(acme, "read:documents")
    assert reader.get("/api/v1/documents").status_code == 200
    assert post(reader, "/api/v1/search", {"query": "x"}).status_code == 200
    assert post(reader, "/api/v1/documents", {"title": "t", "text": "x"}).status_code == 403
    assert post(client_of(acme, "read:orders"), "/api/v1/search", {"query": "x"}).status_code == 403
    assert Client().get("/api/v1/documents").status_code == 401


def test_reindexing_starts_again(api: Client, acme: TenantRef, add_ready: AddDocument) -> None:
    document = add_ready(acme, title="T", text="Some text.")
    response = api.post(f"/api/v1/documents/{document.id}/reindex")
    assert (response.status_code, response.json()["status"]) == (202, "queued")

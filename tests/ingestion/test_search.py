"""Retrieval: words and vectors together, every language, one tenant."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.ingestion.models import Document
from apps.ingestion.selectors import search_knowledge
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from tests.ingestion.conftest import AddDocument

ARTICLES = {
    "Returns and refunds": "Send anything back within 30 days of delivery. We refund within five days.",
    "Shipping": "Standard delivery takes three to five working days. Express arrives on the next day.",
    "Harbor lamp HG-2041-B": "A brass lamp for the hall. Spare bulbs have the number E14-25.",
    "Harbor lamp HG-2042-A": "A steel lamp for the kitchen. Spare bulbs have the number E27-40.",
    "How do I close my account?": "Open the settings and choose the last entry. Confirm by mail.",
    "Versand nach Österreich": "Der Versand nach Österreich dauert vier Werktage und kostet 9 Euro.",
    "Политика возврата": "Вы можете вернуть товар в течение тридцати дней после доставки.",
    "返品ポリシー": "商品到着後30日以内であれば返品できます。送料はお客様の負担です。",
    "سياسة الإرجاع": "يمكنك إرجاع المنتج خلال ثلاثين يوما من استلامه.",
}

FILL = """
INSERT INTO ingestion_chunk
  (id, document_id, position, heading, text, token_count, terms, vector, created_at)
SELECT gen_random_uuid(), %s, n, '', 'filler', 1, ('w' || n || ':1')::tsvector, %s::vector, now()
FROM generate_series(1, 2000) n
"""


@pytest.fixture
def shelf(acme: TenantRef, add_ready: AddDocument) -> TenantRef:
    for title, text in ARTICLES.items():
        assert add_ready(acme, title=title, text=text).status == "ready"
    return acme


@pytest.mark.parametrize(
    ("query", "title"),
    [
        ("can I get my money back", "Returns and refunds"),
        ("how fast will the parcel arrive", "Shipping"),
        ("I want to delete my profile", "How do I close my account?"),
        ("HG-2042-A", "Harbor lamp HG-2042-A"),
        ("hg2041b", "Harbor lamp HG-2041-B"),
        ("do you have HG 2041 B in stock?", "Harbor lamp HG-2041-B"),
        ("which lamp takes E27-40 bulbs", "Harbor lamp HG-2042-A"),
        ("Was kostet der Versand nach Osterreich?", "Versand nach Österreich"),
        ("Как вернуть товар?", "Политика возврата"),
        ("返品できますか", "返品ポリシー"),
        ("كيف يمكنني إرجاع المنتج", "سياسة الإرجاع"),
    ],
)
def test_the_right_document_comes_first(shelf: TenantRef, query: str, title: str) -> None:
    hits = search_knowledge(tenant=shelf, query=query)
    assert hits[0].title == title
    assert all(0 < hit.score <= 1 for hit in hits)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_another_tenants_knowledge_is_never_found(shelf: TenantRef, globex: TenantRef) -> None:
    for query in ("HG-2042-A", "refund", "返品"):
        assert search_knowledge(tenant=globex, query=query) == []


def test_the_score_function_of_another_schema_answers_with_nothing(
    shelf: TenantRef, globex: TenantRef
) -> None:
    call = "SELECT count(*) FROM {}.score_chunks(NULL, '{{0}}', ARRAY['''refund'''], '{{f}}', '')"
    for tenant, expected in ((shelf, 1), (globex, 0)):
        with in_tenant(tenant), connection.cursor() as cursor:
            cursor.execute(call.format(shelf.schema))
            assert cursor.fetchone() == (expected,)


@pytest.mark.parametrize(
    "query", ["", "  ", "\x00", "' & | ! :* \\", "(" * 500, "a" * 10_000, "🦜", "%s %(x)s"]
)
def test_odd_queries_find_nothing_or_something_but_never_fail(shelf: TenantRef, query: str) -> None:
    search_knowledge(tenant=shelf, query=query)


def test_a_search_is_two_queries(shelf: TenantRef) -> None:
    search_knowledge(tenant=shelf, query="refund")
    with in_tenant(shelf), CaptureQueriesContext(connection) as captured:
        search_knowledge(tenant=shelf, query="refund for HG-2042-A")
    assert len(captured) == 2


def test_top_k_limits_the_hits(shelf: TenantRef) -> None:
    assert len(search_knowledge(tenant=shelf, query="lamp", top_k=2)) == 2


def test_full_text_reads_its_index_under_row_level_security(acme: TenantRef) -> None:
    scans = "SELECT pg_stat_get_xact_numscans('chunk_terms_gin'::regclass)"
    with in_tenant(acme), connection.cursor() as cursor:
        document = Document.objects.create(title="x", kind="text", content_sha256="x", chunk_count=2000)
        cursor.execute(FILL, [document.id, "[" + ",".join(["0.05"] * 384) + "]"])
        cursor.execute(scans)
        [before] = cursor.fetchone()
        cursor.execute("SELECT * FROM score_chunks(NULL, '{0}', %s, '{f}', %s)", [["'w77'"], "'w77'"])
        assert len(cursor.fetchall()) == 1
        cursor.execute(scans)
        assert cursor.fetchone()[0] > before

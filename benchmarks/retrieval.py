"""Retrieval on StackFAQ: 125 threads as documents, 1,249 rephrased questions as queries, ranked by thread.

Ingested and searched through the REST API of a throw-away tenant; full text alone and vectors alone are the
same candidates under the two extreme weights.
"""

import json
import logging
import statistics
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from math import log2
from pathlib import Path
from typing import Any, TextIO
from uuid import UUID

from django.conf import settings
from django.test import Client

from apps.inference.services import embed_query
from apps.ingestion.fusion import fuse
from apps.ingestion.selectors import MAX_TOP_K, score_candidates
from apps.ingestion.services import process_document
from apps.ingestion.terms import read_query
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.services import create_api_key
from benchmarks.throwaway import throwaway_tenant

DATA = Path(settings.ROOT).parent / "shared" / "data" / "stackfaq" / "stackExchange-FAQ.xml"
TARGETS = {"ndcg_at_10": 0.97, "recall_at_1": 0.93}
Query = tuple[str, UUID]


def run(stdout: TextIO) -> dict[str, Any]:
    """Measure, print a table and return its numbers; nothing without the data."""
    if not DATA.exists():
        stdout.write(f"skipped: {DATA.name} is not there; put StackFAQ into {DATA.parent}\n")
        return {}
    logging.disable(logging.INFO)
    try:
        with throwaway_tenant() as tenant:
            return _measure(tenant, stdout)
    finally:
        logging.disable(logging.NOTSET)


def _measure(tenant: TenantRef, stdout: TextIO) -> dict[str, Any]:
    client = _client(tenant)
    started = time.perf_counter()
    queries = _ingest(client, tenant)
    results: dict[str, Any] = {"ingest_s": round(time.perf_counter() - started, 1), "queries": len(queries)}
    for name, weight in (("full text alone", 1.0), ("vectors alone", 0.0)):
        results[name] = _score(queries, lambda text, weight=weight: _rank_alone(tenant, text, weight))
    timings: list[float] = []
    results["fusion, POST /api/v1/search"] = _score(queries, lambda text: _search(client, text, timings))
    results["search_p50_ms"] = round(statistics.median(timings) * 1000, 2)
    results["search_p95_ms"] = round(statistics.quantiles(timings, n=20)[-1] * 1000, 2)
    _print(stdout, results)
    return results


def _client(tenant: TenantRef) -> Client:
    key = create_api_key(tenant=tenant, name="benchmark", scopes=["api:read", "api:write"])
    return Client(headers={"Authorization": f"Api-Key {key.token}"})


def _ingest(client: Client, tenant: TenantRef) -> list[Query]:
    queries: list[Query] = []
    for thread in ET.parse(DATA).getroot().iter("qapair"):
        title = _text(thread.find("question"))
        text = "\n\n".join(_text(answer) for answer in thread.findall("answer"))
        answer = _post(client, "/api/v1/documents", {"title": title, "text": text})
        document_id = UUID(answer["id"])
        process_document(tenant=tenant, document_id=document_id)
        rephrased = (_text(element) for element in thread.findall("rephr"))
        queries += [(query, document_id) for query in rephrased if query not in ("", "*")]
    return queries


def _text(element: ET.Element | None) -> str:
    return " ".join((element.text or "").split()) if element is not None else ""


def _post(client: Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = client.post(path, json.dumps(body), content_type="application/json")
    if response.status_code >= 300:
        raise RuntimeError(f"{path} answered {response.status_code}: {response.content[:300]!r}")
    return json.loads(response.content)


def _search(client: Client, text: str, timings: list[float]) -> list[UUID]:
    started = time.perf_counter()
    answer = _post(client, "/api/v1/search", {"query": text, "top_k": MAX_TOP_K})
    timings.append(time.perf_counter() - started)
    return [UUID(hit["document_id"]) for hit in answer["results"]]


def _rank_alone(tenant: TenantRef, text: str, full_text: float) -> list[UUID]:
    with in_tenant(tenant):
        candidates, _ = score_candidates(read_query(text, language="en"), embed_query(text))
    return [candidate.document_id for candidate, _ in fuse(candidates, full_text=full_text)]


def _score(queries: Sequence[Query], rank: Callable[[str], list[UUID]]) -> dict[str, float]:
    gains, firsts = [], []
    for text, wanted in queries:
        documents = list(dict.fromkeys(rank(text)))[:10]
        position = documents.index(wanted) + 1 if wanted in documents else 0
        gains.append(1 / log2(position + 1) if position else 0.0)
        firsts.append(position == 1)
    return {
        "ndcg_at_10": round(statistics.fmean(gains), 4),
        "recall_at_1": round(statistics.fmean(firsts), 4),
    }


def _print(stdout: TextIO, results: dict[str, Any]) -> None:
    stdout.write(f"{'StackFAQ, by thread':<32}{'nDCG@10':>9}{'recall@1':>10}\n")
    for name, numbers in results.items():
        if isinstance(numbers, dict):
            stdout.write(f"{name:<32}{numbers['ndcg_at_10']:>9.4f}{numbers['recall_at_1']:>10.4f}\n")
    stdout.write(f"{'at least':<32}{TARGETS['ndcg_at_10']:>9.4f}{TARGETS['recall_at_1']:>10.4f}\n")
    stdout.write(
        f"{results['queries']} queries; ingestion {results['ingest_s']} s; "
        f"search p50 {results['search_p50_ms']} ms, p95 {results['search_p95_ms']} ms over HTTP, in process\n"
    )

"""The OpenAPI document, held to: what it says of each operation, and how the API answers made-up requests.

Every operation is asked with valid credentials, with none, and with another tenant's, by requests that keep
to the schema and by some that do not. `manage.py check_api --cases N` does the same with more of them.
"""

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema
import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from aiaas.wsgi import application
from apps.crm.services import create_customer
from apps.ingestion.services import add_document
from apps.resilience.errors import ConflictError
from apps.tenants.contracts import TenantRef
from apps.tenants.services import create_api_key
from tests.isolation.test_urls import MAKERS

CASES = int(os.environ.get("API_CASES", "3"))  # of each operation, credential and kind of request
MARK = "Xylophone-of-acme"
# What takes seconds, and says nothing about the contract: training within the request.
SLOW = "apps.routing.api.services.train_router"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
FEW = settings(
    max_examples=CASES,
    database=None,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return SchemaGenerator().get_schema(request=None, public=True)


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


def test_every_operation_says_what_it_does_and_what_can_go_wrong(document):
    found = operations(document)
    assert len(found) >= 100
    for name, operation in found:
        assert 5 < len(operation["summary"]) < 120, f"{name} needs a summary of one line"
        assert "default" not in operation["responses"], name
        assert {"400", "429"} <= operation["responses"].keys(), name
        if operation.get("security"):
            assert {"401", "403"} <= operation["responses"].keys(), name
        assert any(status.startswith("2") for status in operation["responses"]), name


def test_every_body_has_an_example_that_keeps_to_its_schema(document):
    schemas = document["components"]["schemas"]
    for name, operation in operations(document):
        for body in [operation.get("requestBody", {}), *operation["responses"].values()]:
            for kind, media in body.get("content", {}).items():
                shown = [media["example"]] if "example" in media else []
                shown += [one["value"] for one in media.get("examples", {}).values()]
                assert shown, f"{name} shows no example of {kind}"
                if kind == "application/json" and "example" in media:
                    check_example(name, media["schema"], schemas, media["example"])


def check_example(name: str, schema: dict[str, Any], schemas: dict[str, Any], example: Any) -> None:
    rules = {**schema, "components": {"schemas": schemas}}
    errors = [error.message for error in jsonschema.Draft4Validator(rules).iter_errors(example)]
    assert [text for text in errors if "None is not" not in text] == [], f"the example of {name}"


@pytest.fixture
def ids(acme: TenantRef) -> dict[str, str]:
    """Fill a tenant with things of its own and return an id for each collection."""
    create_customer(tenant=acme, name=MARK, email="xylophone@acme.example")
    add_document(tenant=acme, title=MARK, text=f"{MARK} is what no other company may read.")
    return {collection: str(make(acme)) for collection, make in MAKERS.items()}


def path_parameters(path: str, ids: dict[str, str]) -> dict[str, str]:
    """Return the values that lead to the filled tenant's things."""
    start = path.removeprefix("/api/v1/").partition("/{")[0]
    names = [part[1:-1].partition("}")[0] for part in path.split("/") if part.startswith("{")]
    known = ids.get(start)
    return {names[0]: known} if known and names else {}


def ask_everything(
    headers: dict[str, str], ids: dict[str, str], check: Callable[[Any], None], flush: Callable[[], None]
) -> Counter[int]:
    """Ask every operation and return how often each status came; raises with everything that was wrong."""
    counted: Counter[int] = Counter()
    failures: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        schema = schemathesis.openapi.from_wsgi("/api/schema/?format=json", application)
        for found in schema.get_all_operations():
            operation = found.ok()
            fixed = path_parameters(operation.path, ids)
            for mode in GenerationMode:
                flush()
                given_ids = fixed if mode is GenerationMode.POSITIVE else None
                strategy = operation.as_strategy(mode, path_parameters=given_ids or None)
                try:
                    ask(strategy, headers, check, counted)
                except (Exception, BaseExceptionGroup) as error:  # hypothesis groups what it finds
                    failures.append(f"{operation.label} ({mode.value}): {str(error)[:1500]}")
    assert failures == [], "\n\n".join([f"{len(failures)} failures", *failures])
    return counted


def ask(strategy: Any, headers: dict[str, str], check: Callable[[Any], None], counted: Counter[int]) -> None:
    @FEW
    @given(case=strategy)
    def once(case: schemathesis.Case) -> None:
        with transaction.atomic():
            answer = case.call(headers=headers)
            transaction.set_rollback(True)
        counted[answer.status_code] += 1
        case.validate_response(answer, checks=CHECKS)
        check(answer)

    once()


@pytest.fixture(autouse=True)
def _no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise ConflictError("Not now.")

    monkeypatch.setattr(SLOW, refuse)


@pytest.fixture(autouse=True)
def _one_connection() -> Iterator[None]:
    """Let requests leave the test's own connection open, as Django's test client does."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


def report(who: str, counted: Counter[int]) -> None:
    told = ", ".join(f"{status}: {times}" for status, times in sorted(counted.items()))
    print(f"\n{counted.total()} requests {who}, 0 failures ({told})")  # noqa: T201


def test_valid_credentials(acme: TenantRef, ids: dict[str, str], valkey):
    token = create_api_key(tenant=acme, name="all", scopes=["api:read", "api:write"]).token
    counted = ask_everything({"Authorization": f"Api-Key {token}"}, ids, lambda answer: None, valkey.flushdb)
    report("with valid credentials", counted)
    assert counted[200] > 50
    assert counted[400] > 50
    assert counted[401] < 7 * CASES  # the log-in and signed webhooks


def test_no_credentials(acme: TenantRef, ids: dict[str, str], valkey):
    def check(answer: Any) -> None:
        assert MARK not in answer.text
        assert answer.status_code >= 400

    report("without credentials", ask_everything({}, ids, check, valkey.flushdb))


def test_another_tenants_credentials(globex: TenantRef, acme: TenantRef, ids: dict[str, str], valkey):
    def check(answer: Any) -> None:
        assert MARK not in answer.text

    token = create_api_key(tenant=globex, name="all", scopes=["api:read", "api:write"]).token
    counted = ask_everything({"Authorization": f"Api-Key {token}"}, ids, check, valkey.flushdb)
    report("with another tenant's credentials", counted)
    assert counted[404] > 50

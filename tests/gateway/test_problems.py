import pytest
from django.db import DataError, OperationalError
from django.http import Http404
from django.test import RequestFactory
from rest_framework import exceptions

from apps.gateway.problems import flatten_errors, problem_of, respond, server_error
from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError


@pytest.mark.parametrize(
    ("exc", "status"),
    [
        (exceptions.ValidationError({"a": ["no"]}), 400),
        (exceptions.MethodNotAllowed("PUT"), 405),
        (exceptions.UnsupportedMediaType("a/b"), 415),
        (exceptions.Throttled(3), 429),
        (Http404(), 404),
        (InvalidInput({"name": ["too long"]}), 400),
        (NotFoundError("There is no order 7."), 404),
        (ConflictError("It is closed."), 409),
        (DataError("integer out of range"), 400),
        (OperationalError("gone"), 503),
    ],
)
def test_every_refusal_has_its_status_and_a_text(exc, status):
    problem = problem_of(exc)
    assert problem is not None
    assert problem.status == status
    assert problem.detail
    assert "integer out of range" not in problem.detail


def test_our_own_defects_are_no_problems_of_the_caller():
    assert problem_of(KeyError("secret")) is None


def test_errors_are_flat_by_dotted_name():
    nested = {
        "customer": {"email": ["bad"]},
        "items": [{}, {"sku": ["unknown"]}],
        "non_field_errors": ["both"],
    }
    assert flatten_errors(nested) == {"customer.email": ["bad"], "items.1.sku": ["unknown"], "": ["both"]}


def test_the_body_is_a_problem_by_the_rfc_and_openais_under_v1():
    problem = problem_of(InvalidInput({"model": ["There is no such model."]}))
    ours = respond(RequestFactory().get("/api/v1/x"), problem)
    assert ours["Content-Type"] == "application/problem+json"
    theirs = respond(RequestFactory().get("/v1/x"), problem)
    assert b'"param":"model"' in theirs.content
    assert b'"type":"invalid_request_error"' in theirs.content


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/v1/nothing", "/nothing"])
def test_an_unknown_address_is_a_clear_404(stranger, db, path):
    answer = stranger.get(path)
    assert answer.status_code == 404
    assert b"docs" in answer.content


def test_an_unexpected_error_says_nothing_about_our_inside():
    request = RequestFactory().get("/api/v1/x")
    request.request_id = "r-1"
    try:
        raise KeyError("postgres://app:secret@db")
    except KeyError:
        answer = server_error(request)
    assert answer.status_code == 500
    assert b"secret" not in answer.content
    assert b"r-1" in answer.content


def test_a_view_that_breaks_answers_500_as_a_problem(api, monkeypatch):
    monkeypatch.setattr("apps.billing.selectors.list_plans", lambda: 1 / 0)
    answer = api.get("/api/v1/plans")
    assert answer.status_code == 500
    assert answer["Content-Type"] == "application/problem+json"
    assert "ZeroDivision" not in answer.content.decode()
    assert answer["X-Request-ID"] == answer.json()["request_id"]


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ("{", "application/json", 400),
        ("<a/>", "text/xml", 415),
        ("[" * 5000 + "]" * 5000, "application/json", 400),
        ('{"a":' * 40 + "1" + "}" * 40, "application/json", 400),
        ('{"name":"a\\u0000b","scopes":["read:usage"]}', "application/json", 400),
        ('{"name":"\\ud800","scopes":["read:usage"]}', "application/json", 400),
        ('{"name":NaN}', "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        ("[" + "1," * 120_000 + "1]", "application/json", 400),
        ("[]", "application/json", 400),
        ('"x"', "application/json", 400),
        ("x" * (2 * 1024 * 1024 + 1), "application/json", 413),
    ],
)
def test_a_body_that_cannot_be_taken_is_a_4xx(api, body, content_type, status):
    answer = api.post("/api/v1/api-keys", body, content_type=content_type)
    assert answer.status_code == status
    assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "status"), [("/api/v1/usage?kind=%00", 400), ("/api/v1/usage?x=" + "y" * 9000, 414)]
)
def test_an_address_that_cannot_be_taken_is_a_4xx(api, path, status):
    assert api.get(path).status_code == status

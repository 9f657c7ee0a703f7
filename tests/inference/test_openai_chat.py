"""The OpenAI-compatible adapter against a server that speaks the real protocol."""

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import pytest

from apps.inference import services
from apps.inference.contracts import ChatTurn, Fact, ModelRejected, ModelTimeout, ModelUnavailable
from apps.tenants.contracts import TenantRef
from tests.inference.builders import RETURNS, ask, source
from tests.inference.fake_openai import FakeOpenAi, run_fake_openai

KEY = "sk-very-secret"
TENANT = TenantRef(id=uuid4(), slug="acme", schema="t_acme")


@pytest.fixture
def server(settings: object) -> Iterator[FakeOpenAi]:
    with run_fake_openai() as running:
        settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL = KEY, running.url  # type: ignore[attr-defined]
        services.forget_models()
        yield running
    services.forget_models()


def complete(request: object, **options: object) -> object:
    return services.complete_chat(tenant=TENANT, request=request, **options)


def test_an_answer_brings_citations_tokens_and_cost(server: FakeOpenAi) -> None:
    passage = source(RETURNS, title="Returns")
    result = complete(ask("Can I return shoes?", passage, source("x", title="Other")))
    assert result.text == server.reply
    assert [(c.index, c.chunk_id) for c in result.citations] == [(1, passage.chunk_id)]
    assert (result.prompt_tokens, result.completion_tokens, result.cost_microusd) == (1000, 200, 270)
    assert (result.provider, result.model, result.knows, result.is_fallback) == (
        "openai",
        "gpt-4o-mini",
        True,
        False,
    )


def test_the_model_is_told_sources_facts_and_the_talk_so_far(server: FakeOpenAi) -> None:
    request = ask("And now?", source(RETURNS, title="Returns"), facts=(Fact("order", "1042 is shipped"),))
    turns = (ChatTurn("user", "Hi"), ChatTurn("assistant", "Hello"), *request.turns)
    complete(replace(request, turns=turns, system_prompt="Be kind.", max_tokens=77))
    [sent] = server.requests
    assert [message["role"] for message in sent["messages"]] == ["system", "user", "assistant", "user"]
    system = sent["messages"][0]["content"]
    assert system.startswith("Be kind.")
    assert "1042 is shipped" in system
    assert "Source [1] Returns" in system
    assert sent["max_tokens"] == 77
    assert server.headers_seen[0]["authorization"] == f"Bearer {KEY}"


def test_deltas_add_up_to_the_answer(server: FakeOpenAi) -> None:
    deltas: list[str] = []
    result = complete(ask("Can I return shoes?", source(RETURNS, title="R")), on_delta=deltas.append)
    assert len(deltas) > 3
    assert "".join(deltas) == result.text == server.reply
    assert (result.prompt_tokens, result.completion_tokens) == (1000, 200)


@pytest.mark.parametrize("streams", [True, False])
def test_an_unknown_answer_is_said_in_words(server: FakeOpenAi, streams: bool) -> None:
    server.reply = "NO_ANSWER"
    deltas: list[str] = []
    result = complete(ask("Who won?"), on_delta=deltas.append if streams else None)
    assert not result.knows
    assert "NO_ANSWER" not in result.text
    assert deltas == []


def test_an_answer_that_only_begins_like_the_mark_comes_through(server: FakeOpenAi) -> None:
    server.reply = "NO"
    deltas: list[str] = []
    result = complete(ask("Do you ship to the moon?"), on_delta=deltas.append)
    assert "".join(deltas) == result.text == "NO"
    assert result.knows


def test_tokens_are_estimated_when_the_server_does_not_count(server: FakeOpenAi) -> None:
    server.sends_usage = False
    result = complete(ask("Can I return shoes?", source(RETURNS, title="R")))
    assert result.prompt_tokens > 50
    assert 5 < result.completion_tokens < 20


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, ModelRejected),
        (401, ModelRejected),
        (404, ModelRejected),
        (408, ModelTimeout),
        (429, ModelUnavailable),
        (500, ModelUnavailable),
        (503, ModelUnavailable),
    ],
)
def test_refusals_are_sorted_and_never_repeat_the_key(
    server: FakeOpenAi, status: int, error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.status = status
    with pytest.raises(error) as caught:
        complete(ask("Hi?"))
    assert len(server.requests) == 1
    assert KEY not in str(caught.value)
    assert KEY not in caplog.text


@pytest.mark.parametrize("streams", [True, False])
def test_a_slow_server_is_a_timeout(server: FakeOpenAi, streams: bool) -> None:
    server.delay_s = 0.1
    started = time.monotonic()
    with pytest.raises(ModelTimeout):
        complete(ask("Hi?", timeout_s=0.05 if not streams else 0.25), on_delta=print if streams else None)
    assert time.monotonic() - started < 2


def test_a_stream_that_breaks_off_is_unavailable(server: FakeOpenAi) -> None:
    server.cut_after = 2
    with pytest.raises(ModelUnavailable):
        complete(ask("Hi?"), on_delta=lambda text: None)


@pytest.mark.parametrize("body", [b"<html>proxy error</html>", b"{}", b'{"choices": []}'])
def test_nonsense_is_unavailable(server: FakeOpenAi, body: bytes) -> None:
    server.raw = body
    with pytest.raises(ModelUnavailable):
        complete(ask("Hi?"))


def test_no_server_at_all_is_unavailable(settings: object) -> None:
    settings.OPENAI_BASE_URL = "http://127.0.0.1:9/v1"  # type: ignore[attr-defined]
    services.forget_models()
    with pytest.raises(ModelUnavailable):
        complete(ask("Hi?"))
    services.forget_models()


def test_a_failing_server_is_left_alone_for_that_company_only(server: FakeOpenAi) -> None:
    server.status = 503
    for _ in range(5):
        with pytest.raises(ModelUnavailable):
            complete(ask("?"))
    asked = len(server.requests)
    with pytest.raises(ModelUnavailable, match="asked again in"):
        complete(ask("?"))
    assert len(server.requests) == asked
    other = TenantRef(id=uuid4(), slug="globex", schema="t_globex")
    with pytest.raises(ModelUnavailable, match="503"):
        services.complete_chat(tenant=other, request=ask("?"))


def test_refused_requests_do_not_speak_against_the_server(server: FakeOpenAi) -> None:
    server.status = 400
    for _ in range(7):
        with pytest.raises(ModelRejected, match="400"):
            complete(ask("?"))

"""The official client against a live server, over the real engine."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import openai
import pytest
from django.db import connections
from django.test.testcases import LiveServerThread, _StaticFilesHandler

from apps.billing.models import Plan
from apps.billing.services import forget_quotas, subscribe_tenant
from apps.conversations import selectors as conversations
from apps.conversations.services import take_over_conversation
from apps.events.models import OutboxEvent
from apps.gateway.openai.deltas import HUB
from apps.ingestion.services import add_document, process_document
from apps.tenants.context import in_tenant
from apps.tenants.services import create_api_key

MODEL = "customer_support_workflow"
RETURNS = "Parcels are returned within 30 days. Put the slip on the parcel and bring it to any post office."
QUESTION = [{"role": "user", "content": "How do I return a parcel?"}]


@contextmanager
def served() -> Iterator[str]:
    server = LiveServerThread("127.0.0.1", _StaticFilesHandler)
    server.start()
    server.is_ready.wait()
    assert server.error is None
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.terminate()
        connections.close_all()


@pytest.fixture
def server(live_db, acme) -> Iterator[str]:
    document = add_document(tenant=acme, title="Returns", text=RETURNS)
    process_document(tenant=acme, document_id=document.id)
    with served() as url:
        yield url


def client_of(tenant, url, *scopes) -> openai.OpenAI:
    key = create_api_key(tenant=tenant, name="client", scopes=list(scopes or ("api:read", "api:write")))
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key.token, max_retries=0, timeout=30)


@pytest.fixture
def client(server, acme) -> Iterator[openai.OpenAI]:
    with client_of(acme, server) as client:
        yield client


def said(tenant, conversation_id):
    return [
        (message.author, message.text)
        for message in conversations.list_messages(tenant=tenant, conversation_id=conversation_id)
    ]


def test_the_whole_of_it(client, server, acme, globex):
    models_are_the_published_workflows(client)
    answer = one_answer_with_sources(client, acme)
    assert answer.receipt["workflow"] == MODEL
    a_stream_tells_the_same(client, acme)
    the_same_user_goes_on(client, acme)
    a_repeated_request_is_one_question(client, acme)
    errors_are_those_of_the_client(client, server, acme)
    nothing_of_another_tenant(client, server, acme, globex)


def models_are_the_published_workflows(client):
    assert MODEL in [model.id for model in client.models.list()]
    assert client.models.retrieve(MODEL).owned_by == "acme"


def one_answer_with_sources(client, acme):
    answer = client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=0.2)
    assert "30 days" in answer.choices[0].message.content or "slip" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.sources[0]["title"] == "Returns"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    assert said(acme, answer.conversation_id) == [
        ("customer", QUESTION[0]["content"]),
        ("ai", answer.choices[0].message.content),
    ]
    return answer


def a_stream_tells_the_same(client, acme):
    options = {"include_usage": True}
    chunks = list(
        client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True, stream_options=options)
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert chunks[0].choices[0].delta.role == "assistant"
    ending = next(chunk for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason)
    assert ending.sources[0]["title"] == "Returns"
    assert chunks[-1].usage.total_tokens > 0
    assert chunks[-1].choices == []
    assert said(acme, chunks[0].conversation_id)[-1] == ("ai", text)


def the_same_user_goes_on(client, acme):
    first = client.chat.completions.create(model=MODEL, messages=QUESTION, user="grace")
    second = client.chat.completions.create(model=MODEL, messages=QUESTION, user="grace")
    other = client.chat.completions.create(model=MODEL, messages=QUESTION, user="ada")
    assert first.conversation_id == second.conversation_id != other.conversation_id
    assert len(said(acme, first.conversation_id)) == 4
    named = client.chat.completions.create(
        model=MODEL, messages=QUESTION, metadata={"conversation_id": other.conversation_id}
    )
    assert named.conversation_id == other.conversation_id


def a_repeated_request_is_one_question(client, acme):
    for is_stream in (False, True):
        repeated = {"extra_headers": {"Idempotency-Key": f"once-{is_stream}"}, "stream": is_stream}
        ids, texts = set(), []
        for _ in range(2):
            answer = client.chat.completions.create(model=MODEL, messages=QUESTION, **repeated)
            chunks = list(answer) if is_stream else [answer]
            ids.add(chunks[0].conversation_id)
            texts.append("".join(c.choices[0].delta.content or "" for c in chunks) if is_stream else "")
        assert len(ids) == 1
        assert texts[0] == texts[1]
        assert len(said(acme, ids.pop())) == 2


def errors_are_those_of_the_client(client, server, acme):
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="gpt-4", messages=QUESTION)
    assert missing.value.code == "model_not_found"
    assert MODEL in missing.value.message
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model=MODEL, messages=QUESTION, n=2)
    assert refused.value.param == "n"
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{server}/v1", api_key="ak_none.x", max_retries=0).models.list()
    with client_of(acme, server, "read:workflows") as reader, pytest.raises(openai.PermissionDeniedError):
        reader.chat.completions.create(model=MODEL, messages=QUESTION)
    mine = client.chat.completions.create(model=MODEL, messages=QUESTION, user="vip")
    take_over_conversation(tenant=acme, conversation_id=mine.conversation_id, agent="user:1")
    with pytest.raises(openai.ConflictError, match="person"):
        client.chat.completions.create(model=MODEL, messages=QUESTION, user="vip")
    broken = httpx.post(
        f"{server}/v1/chat/completions", content=b"{", headers={**client.auth_headers, "Content-Type": "a/b"}
    )
    assert (broken.status_code, list(broken.json())) == (415, ["error"])


def nothing_of_another_tenant(client, server, acme, globex):
    mine = client.chat.completions.create(model=MODEL, messages=QUESTION, user="grace")
    with client_of(globex, server) as theirs:
        other = theirs.chat.completions.create(model=MODEL, messages=QUESTION, user="grace")
        assert other.conversation_id != mine.conversation_id
        assert other.sources == []
        with pytest.raises(openai.NotFoundError):
            theirs.chat.completions.create(
                model=MODEL, messages=QUESTION, metadata={"conversation_id": mine.conversation_id}
            )


def test_text_reaches_the_client_while_the_run_still_works(server, client, acme, monkeypatch):
    """The engine is held back after its first deltas: what it emitted must be on the wire by then."""
    may_finish = threading.Event()

    def slow_answer(question, *, wait_s):
        from apps.gateway.questions import await_reply

        HUB.emit(
            conversation_id=question.conversation_id,
            reply_id=str(question.run_id),
            offset=0,
            text="Parcels",
        )
        assert may_finish.wait(10)
        return await_reply(question, wait_s=wait_s)

    monkeypatch.setattr("apps.gateway.openai.api.await_reply", slow_answer)
    stream = client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True)
    seen = [next(stream).choices[0].delta.content for _ in range(2)]
    assert seen == ["", "Parcels"]
    may_finish.set()
    rest = [chunk for chunk in stream if chunk.choices]
    assert rest[-1].choices[0].finish_reason == "stop"


def test_a_client_that_leaves_does_not_stop_the_answer(server, client, acme):
    stream = client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True)
    conversation_id = next(stream).conversation_id
    stream.close()
    deadline = time.monotonic() + 10
    while len(said(acme, conversation_id)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [author for author, _ in said(acme, conversation_id)] == ["customer", "ai"]


def test_a_failure_in_the_stream_is_an_error_of_the_client(server, client, monkeypatch):
    def broken(question, *, wait_s):
        raise ZeroDivisionError("inside")

    monkeypatch.setattr("apps.gateway.openai.api.await_reply", broken)
    stream = client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True)
    with pytest.raises(openai.APIError) as failed:
        list(stream)
    assert "inside" not in str(failed.value)


def test_limits_and_quotas_reach_the_client_as_openais_own_errors(server, acme, globex):
    facts = {"requests_per_minute": 600, "included": {"message": 1}, "has_hard_limits": True}
    Plan.objects.create(code="tiny", name="Tiny", **facts)
    subscribe_tenant(tenant=acme, plan_code="tiny")
    forget_quotas()
    with client_of(acme, server) as client:
        first = client.chat.completions.create(model=MODEL, messages=QUESTION)
        for stream in (False, True):
            with pytest.raises(openai.APIStatusError) as spent:
                client.chat.completions.create(model=MODEL, messages=QUESTION, stream=stream)
            assert (spent.value.status_code, spent.value.code) == (402, "insufficient_quota")
    with in_tenant(acme):
        told = OutboxEvent.objects.filter(type="billing.usage.recorded").values_list("envelope", flat=True)
        used = {event["data"]["kind"]: event["data"]["quantity"] for event in told}
    assert (used["message"], used["run"]) == (1, 1)
    billed = (used.get("prompt_token", 0), used.get("completion_token", 0))
    assert billed == (first.usage.prompt_tokens, first.usage.completion_tokens)
    slow = create_api_key(
        tenant=globex, name="slow", scopes=["api:read"], rate_limits={"requests_per_minute": 1}
    )
    with openai.OpenAI(base_url=f"{server}/v1", api_key=slow.token, max_retries=0) as client:
        client.models.list()
        with pytest.raises(openai.RateLimitError) as limited:
            client.models.list()
    assert limited.value.code == "rate_limit_exceeded"
    assert int(limited.value.response.headers["Retry-After"]) >= 1
    nobody = openai.OpenAI(base_url=f"{server}/v1", api_key="ak_x.y", max_retries=0)
    with nobody, pytest.raises(openai.AuthenticationError) as unknown:
        nobody.models.list()
    assert unknown.value.code == "invalid_api_key"

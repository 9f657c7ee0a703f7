import json
import threading
from itertools import pairwise
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from apps.gateway.openai.deltas import Delta, DeltaHub, StreamedText
from apps.gateway.openai.serializers import ChatCompletionSerializer
from apps.gateway.openai.shapes import Answer, Completion, Usage
from apps.gateway.openai.streaming import stream_answer
from apps.gateway.questions import put_question
from apps.tenants.context import in_tenant

ANSWER = Answer("Hello", Usage(3, 2), [{"title": "Returns"}], {"intent": "faq"})


def pieces(text, cuts):
    edges = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [(start, text[start:end]) for start, end in pairwise(edges)]


@given(st.text(max_size=80), st.lists(st.integers(0, 80), max_size=8), st.integers(0, 9))
def test_deltas_and_the_rest_make_the_final_text(final, cuts, lost):
    stream, sent = StreamedText(), ""
    for index, (offset, piece) in enumerate(pieces(final, cuts)):
        if index != lost:
            sent += stream.accept(Delta("r", offset, piece))
    assert sent + stream.finish(final) == final


@given(st.text(min_size=1, max_size=40), st.text(max_size=40), st.lists(st.integers(0, 40), max_size=5))
def test_a_second_attempt_never_takes_back_what_was_sent(first, final, cuts):
    stream = StreamedText()
    sent = stream.accept(Delta("r", 0, first))
    for offset, piece in pieces(final, cuts):
        sent += stream.accept(Delta("r", offset, piece))
    sent += stream.finish(final)
    assert sent.startswith(first)
    assert sent.endswith(final)


def test_a_hub_passes_deltas_to_the_listeners_of_a_conversation_only():
    hub, mine, other = DeltaHub(), uuid4(), uuid4()
    with hub.listen(mine) as first, hub.listen(mine) as second:
        worker = threading.Thread(
            target=lambda: [
                hub.emit(conversation_id=conversation, reply_id="r", offset=0, text="x")
                for conversation in (mine, other)
            ]
        )
        worker.start()
        worker.join()
        assert [queue.get_nowait() for queue in (first, second)] == [Delta("r", 0, "x")] * 2
        assert first.empty()
    hub.emit(conversation_id=mine, reply_id="r", offset=0, text="late")
    assert not hub._listeners


@pytest.mark.parametrize("include_usage", [True, False])
def test_the_events_of_a_stream_have_openais_shapes(include_usage):
    completion = Completion(
        run_id=uuid4(), model="support", conversation_id=uuid4(), include_usage=include_usage
    )
    body = completion.opening() + completion.delta("Hello") + completion.closing(ANSWER)
    events = [line.removeprefix("data: ") for line in body.decode().split("\n\n") if line]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    assert deltas == [{"role": "assistant", "content": ""}, {"content": "Hello"}, {}]
    finishing = next(c for c in chunks if c["choices"] and c["choices"][0]["finish_reason"])
    assert finishing["sources"] == [{"title": "Returns"}]
    usages = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
    total = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    assert usages == ([total] if include_usage else [])
    assert all(("usage" in chunk) == include_usage for chunk in chunks)


def errors_of(**changes):
    given = {"model": "m", "messages": [{"role": "user", "content": "hi"}]} | changes
    serializer = ChatCompletionSerializer(data=given)
    serializer.is_valid()
    return set(serializer.errors)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"temperature": 0.3, "max_tokens": 5, "seed": 1, "stop": ["x"], "top_p": 1, "logit_bias": {}},
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
            ]
        },
        {
            "messages": [
                {"role": "assistant", "content": None},
                {"role": "user", "content": "hi", "name": "x"},
            ]
        },
        {"stream": None, "n": None, "user": None, "metadata": None, "stream_options": None, "tools": []},
        {"response_format": {"type": "text"}, "metadata": {"anything": "else"}},
    ],
)
def test_what_clients_send_is_taken(changes):
    assert errors_of(**changes) == set()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "assistant", "content": "hi"}]}, "messages"),
        ({"messages": [{"role": "user", "content": " "}]}, "messages"),
        ({"messages": [{"role": "user", "content": {"text": "hi"}}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "messages"),
        ({"messages": [{"role": "user", "content": ["hi"]}]}, "messages"),
        ({"messages": [{"role": "boss", "content": "hi"}]}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"n": 2}, "n"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"metadata": {"conversation_id": "7"}}, "metadata"),
        ({"model": ""}, "model"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(changes, field):
    assert errors_of(**changes) == {field}


@pytest.mark.parametrize(("is_told_at_once", "commits"), [(True, "on"), (False, "off")])
def test_a_message_waits_for_the_disk_where_its_sender_is_told_of_it(acme, is_told_at_once, commits):
    with in_tenant(acme), connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit TO on")
        put_question(tenant=acme, text="Hello?", is_told_at_once=is_told_at_once)
        cursor.execute("SHOW synchronous_commit")
        assert cursor.fetchone() == (commits,)


def test_a_stream_that_waits_holds_no_connection(live_db, acme):
    connection.ensure_connection()
    run_id, conversation_id = uuid4(), uuid4()
    question = SimpleNamespace(run_id=run_id, conversation_id=conversation_id)
    completion = Completion(run_id=run_id, model="m", conversation_id=conversation_id)
    events = stream_answer(question, completion, lambda: ANSWER, wait_s=5)
    next(events)
    assert connection.connection is None, "as many streams as the pool has would wait for each other"
    assert b"Hello" in b"".join(events)

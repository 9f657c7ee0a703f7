"""A replay is a new run with the same input: real, linked, one however often it is asked for."""

import re
import uuid

import pytest

from apps.conversations.models import Message
from apps.conversations.services import start_conversation
from apps.orchestration import services
from apps.orchestration.contracts import RunStatus
from apps.orchestration.models import AgentRun
from apps.orchestration.replaying import replay_run
from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.selectors import list_audit_events
from tests.orchestration.engine import calls, paths, show, start
from tests.orchestration.test_api import client_of, post
from tests.pages import log_in

pytestmark = pytest.mark.usefixtures("no_hints", "valkey", "closed_breakers")


def ended(tenant, sink, publish, names="ab", rest=""):
    publish(tenant, calls(sink, *names), rest)
    run_id = start(tenant)
    services.execute_run(tenant=tenant, run_id=run_id)
    return run_id


def test_a_replay_keeps_the_version_of_the_first_run_or_takes_the_published_one(acme, sink, publish) -> None:
    run_id = ended(acme, sink, publish)
    publish(acme, calls(sink, "other"))
    same = replay_run(tenant=acme, run_id=run_id, actor="ann@acme.example", reason="Lost parcel")
    assert (same.hash, same.replay_of) == (show(acme, run_id).hash, run_id)
    services.execute_run(tenant=acme, run_id=same.id)
    assert show(acme, same.id).status is RunStatus.COMPLETED
    assert paths(sink) == ["a", "b", "a", "b"]
    assert len(set(sink.keys)) == 4, "it is another run: its effects are its own"
    audited = list_audit_events(tenant=acme)[0]
    assert (audited.action, audited.target, audited.data["run"]) == ("run.replay", str(run_id), str(same.id))
    new = replay_run(tenant=acme, run_id=run_id, version="published")
    services.execute_run(tenant=acme, run_id=new.id)
    assert paths(sink)[4:] == ["other"]


def test_an_input_that_the_published_version_does_not_take_is_refused(acme, globex, sink, publish) -> None:
    run_id = ended(acme, sink, publish)
    publish(acme, calls(sink, "a"), "inputs:\n  amount: {type: int, required: true}")
    with pytest.raises(InvalidInput) as refused:
        replay_run(tenant=acme, run_id=run_id, version="published")
    assert "amount" in refused.value.errors["version"][0]
    with pytest.raises(NotFoundError):
        replay_run(tenant=globex, run_id=run_id)
    waiting = replay_run(tenant=acme, run_id=run_id)
    with pytest.raises(ConflictError, match="has ended"):
        replay_run(tenant=acme, run_id=waiting.id)
    with in_tenant(acme):
        assert AgentRun.objects.count() == 2


def test_a_replay_speaks_into_the_conversation_only_when_asked_to(acme) -> None:
    run_id = start_conversation(tenant=acme, channel="api", text="Where is my order 1042?").received.run_id
    services.execute_run(tenant=acme, run_id=run_id)

    def answers():
        with in_tenant(acme):
            return Message.objects.filter(author="ai").count()

    assert answers() == 1
    for reply, total in ((False, 1), (True, 2)):
        made = replay_run(tenant=acme, run_id=run_id, reply=reply)
        services.execute_run(tenant=acme, run_id=made.id)
        assert show(acme, made.id).status is RunStatus.COMPLETED
        assert show(acme, made.id).output["text"]
        assert answers() == total


def test_over_the_api_one_key_is_one_run(acme, globex, sink, publish, fresh_limits) -> None:
    run_id, api = ended(acme, sink, publish), client_of(acme)
    url, how = f"/api/v1/runs/{run_id}/replay", {"content_type": "application/json"}
    first = api.post(url, {"reason": "Again"}, headers={"Idempotency-Key": "k1"}, **how)
    again = api.post(url, {"reason": "Again"}, headers={"Idempotency-Key": "k1"}, **how)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]
    assert api.post(url, {"version": "latest"}, **how).status_code == 400
    assert client_of(globex).post(url, {}, **how).status_code == 404
    listed = api.get(f"/api/v1/runs?replay_of={run_id}").json()["results"]
    assert [run["id"] for run in listed] == [first.json()["id"]]
    assert post(client_of(acme, "read:runs"), f"runs/{run_id}/replay").status_code == 403


def test_the_page_says_what_happens_again_and_a_form_sent_twice_starts_one_run(acme, sink, publish) -> None:
    run_id, client = ended(acme, sink, publish), log_in(acme)
    url = f"/app/runs/{run_id}/replay/"
    page = client.get(url).content.decode()
    assert "What it may do once more" in page
    assert page.count("http_request") == 2
    key = re.search(r'name="key" value="([^"]+)"', page)[1]
    form = {"version": "same", "reason": "Again", "key": key}
    assert client.post(url, {**form, "reason": ""}).status_code == 422
    first, second = client.post(url, form), client.post(url, form)
    assert first.headers["Location"] == second.headers["Location"]
    made = first.headers["Location"]
    assert f"/app/runs/{run_id}/" in client.get(made).content.decode()
    assert made in client.get(f"/app/runs/{run_id}/").content.decode()
    assert client.post(url, {**form, "key": str(uuid.uuid4())}).headers["Location"] != made

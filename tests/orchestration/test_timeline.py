"""A run's timeline tells what happened in its order; whose right it is not sees no personal data."""

import pytest

from apps.conversations.services import start_conversation
from apps.orchestration import services
from apps.orchestration.masking import mask
from apps.orchestration.rewinding import retry_from
from apps.orchestration.timeline import read_timeline
from apps.resilience.errors import NotFoundError
from apps.tenants.contracts import Role
from tests.orchestration.engine import calls, show, start, undo
from tests.orchestration.test_api import client_of
from tests.pages import log_in

pytestmark = pytest.mark.usefixtures("live_db", "no_hints", "valkey", "closed_breakers", "fresh_limits")
ANN = "ann@example.com"
MAIL = """
  - id: "tell"
    type: "tool"
    tool: "http_request"
    config:
      method: "POST"
      url: "{url}/tell"
      json: {{email: "${{input.text}}", name: "Ann Lee", order: "1042"}}
"""


def told(tenant, run_id, is_masked=False):
    return read_timeline(tenant=tenant, run_id=run_id, is_masked=is_masked)


def run_one(tenant, publish, steps, rest="", **given):
    publish(tenant, steps, rest)
    run_id = start(tenant, **given)
    services.execute_run(tenant=tenant, run_id=run_id)
    return run_id


def test_steps_are_told_as_often_as_they_were_done_in_their_order(acme, globex, sink, publish) -> None:
    run_id = run_one(acme, publish, calls(sink, "a", "b"), undo(sink, "a", "b"))
    retry_from(tenant=acme, run_id=run_id, step_id="b")
    services.execute_run(tenant=acme, run_id=run_id)
    steps = told(acme, run_id).steps
    shown = [(s.step, s.turn, s.state.value, s.undone_by) for s in steps]
    assert shown == [
        ("a", 1, "done", ""),
        ("b", 1, "undone", "http_request"),
        ("b", 2, "done", ""),
    ]
    assert steps[0].began_at <= steps[1].began_at <= steps[1].undone_at <= steps[2].began_at
    assert steps[0].arguments["url"].endswith("/a")
    assert [s.offers for s in steps] == [["retry_from", "undo_from"], [], ["retry_from", "undo_from"]]
    with pytest.raises(NotFoundError):
        told(globex, run_id)


def test_attempts_tell_their_errors_and_what_was_skipped_tells_why(acme, sink, publish) -> None:
    sink.answer = lambda path, number: 503 if (path, number) == ("/a", 1) else 200
    skipped = calls(sink, "b") + "\n    condition: \"input.text == 'x'\""
    run_id = run_one(acme, publish, calls(sink, "a") + skipped, text="y")
    a, b = told(acme, run_id).steps
    assert [(t.number, t.outcome) for t in a.attempts] == [(1, "failed"), (2, "done")]
    assert "503" in a.attempts[0].error
    assert (b.state.value, b.reason) == ("skipped", "Not input.text == 'x'")
    sink.answer = lambda path, number: 422
    failed = told(acme, run_one(acme, publish, calls(sink, "a", "c")))
    assert [(s.step, s.state.value) for s in failed.steps] == [("a", "failed"), ("c", "skipped")]
    assert failed.steps[0].offers == ["retry", "retry_from"]
    assert "before it came" in failed.steps[1].reason


def test_what_only_read_tells_what_it_was_given_and_a_model_what_it_cost(acme) -> None:
    run_id = start_conversation(tenant=acme, channel="api", text="Where is my order 1042?").received.run_id
    services.execute_run(tenant=acme, run_id=run_id)
    timeline = told(acme, run_id)
    llm = next(s for s in timeline.steps if s.type == "llm" and s.state == "done")
    assert llm.arguments["system_prompt"]
    receipt = show(acme, run_id).output["receipt"]
    for name in ("prompt_tokens", "completion_tokens", "cost_microusd"):
        assert getattr(timeline, name) == receipt[name] == sum(getattr(s, name) for s in timeline.steps)
    assert timeline.prompt_tokens > 0


def test_a_stuck_step_offers_how_to_settle_it_and_says_who_did(acme, sink, publish) -> None:
    sink.answer = lambda path, number: 422 if path in ("/undo-a", "/b") else 200
    run_id = run_one(acme, publish, calls(sink, "a", "b"), undo(sink, "a"))
    a = told(acme, run_id).steps[0]
    assert (a.state.value, a.offers) == ("stuck", ["retry_undo", "mark_undone"])
    assert "422" in a.undo_error
    assert [t.outcome for t in a.undo_attempts] == ["failed"]
    services.settle_undo(tenant=acme, run_id=run_id, step_id="a", actor="bob@acme.example")
    services.execute_run(tenant=acme, run_id=run_id)
    a = told(acme, run_id).steps[0]
    assert (a.state.value, a.settled_by, a.offers) == ("undone", "bob@acme.example", ["retry_from"])


def test_personal_data_is_masked_by_role_and_by_scope(acme, sink, publish) -> None:
    run_id = run_one(acme, publish, MAIL.format(url=sink.url), text=ANN)
    assert told(acme, run_id).steps[0].arguments["json"]["email"] == ANN
    hidden = told(acme, run_id, is_masked=True)
    assert hidden.steps[0].arguments["json"] == {"email": "[secret]", "name": "[name]", "order": "1042"}
    for role, sees in {Role.ADMIN: True, Role.AGENT: True, Role.ANALYST: False, Role.VIEWER: False}.items():
        page = log_in(acme, role).get(f"/app/runs/{run_id}/").content.decode()
        main = page[page.index("<main") :]
        assert (ANN in main, "Ann Lee" in main) == (sees, sees), role
        assert "1042" in main, "what is not personal stays readable"
    for path in (f"runs/{run_id}", f"runs/{run_id}/timeline", f"runs/{run_id}/events", "runs"):
        for scopes, sees in ((["read:runs"], False), (["read:runs", "read:personal_data"], True)):
            answer = client_of(acme, *scopes).get(f"/api/v1/{path}")
            assert answer.status_code == 200
            assert (ANN in answer.content.decode()) is sees, (path, scopes)
    assert client_of(acme, "read:runs").get(f"/api/v1/runs/{run_id}/timeline").json()["is_masked"]


def test_masking_leaves_what_a_run_is_about() -> None:
    given = {"name": "Ann", "order": {"number": "1042", "total_cents": 4200}, "note": f"mail {ANN} please"}
    assert mask(given) == {
        "name": "[name]",
        "order": {"number": "1042", "total_cents": 4200},
        "note": "mail [email] please",
    }

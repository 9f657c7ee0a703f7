"""Dry runs: what a draft would do, by the real engine, with every effect intercepted."""

from typing import get_args

import pytest
from django.db import connection

from apps.conversations.contracts import CustomerInput
from apps.conversations.services import open_conversation, receive_message
from apps.crm import services as crm
from apps.orchestration.definitions.contracts import Effect
from apps.orchestration.definitions.errors import InvalidWorkflowSource
from apps.orchestration.definitions.services import save_draft, update_tool_setting
from apps.orchestration.engine import decisions as d
from apps.orchestration.rehearsals import rehearsing, services
from apps.orchestration.rehearsals.contracts import BoundReached, How
from apps.orchestration.rehearsals.rehearsing import REHEARSED, Rehearsal
from apps.orchestration.steps import registry
from apps.orchestration.tools.specs import STEP_TYPES, TOOLS
from apps.resilience.errors import InvalidInput, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.db.compiler import tenant_tables
from tests.orchestration.engine import calls

pytestmark = pytest.mark.usefixtures("no_hints", "closed_breakers")
OWN = {"rehearsals_rehearsal", "rehearsals_rehearsalcase"}
# Arguments with which each tool and type of step can be called.
CONFIG = {
    "http_request": 'config: {method: "POST", url: "https://shop.example/x"}',
    "email_send": 'config: {to: "ann@example.com", subject: "Hello", text: "Hello"}',
    "slack_send": 'config: {text: "Hello"}',
    "escalation": "config: {escalation_queue: a}",
}


FIND = '  - {id: "a", type: "tool", tool: "faq_search"}'


def draft(tenant, steps, rest="", name="w"):
    return save_draft(tenant=tenant, source=f'name: "{name}"\nversion: "1"\nsteps:\n{steps}\n{rest}')


def dry_run(tenant, name="w", **given):
    return services.dry_run(tenant=tenant, name=name, given=given).after


def contents(tenant):
    """Return a digest of every table's rows of a tenant."""
    with in_tenant(tenant), connection.cursor() as cursor:
        digests = {}
        for table in sorted(tenant_tables() - OWN):
            cursor.execute(
                f"SELECT count(*), md5(string_agg(t::text, '' ORDER BY t::text)) FROM \"{table}\" t"
            )
            digests[table] = cursor.fetchone()
        return digests


def step_of(outcome, step_id):
    return next(step for step in outcome.steps if step.id == step_id)


def every_effect():
    """Name the tools and the types of steps that do more than read."""
    tools = [(name, spec.effect) for name, spec in TOOLS.items()]
    types = [(name, spec.effect) for name, spec in STEP_TYPES.items()]
    # A graph is one of the operator's; without any there is none to name.
    return [name for name, effect in tools + types if effect is not Effect.NONE and name != "langgraph"]


@pytest.mark.parametrize("name", every_effect())
def test_no_effect_reaches_its_action(acme, monkeypatch, name):
    called = []
    real = registry._load

    def watched(path):
        is_it = path.endswith(f".{name}") or path == registry.STEP_ACTIONS.get(name)
        return (lambda context: called.append(path)) if is_it else real(path)

    monkeypatch.setattr(registry, "_load", watched)
    kind = f'type: "tool"\n    tool: "{name}"' if name in TOOLS else f'type: "{name}"'
    kind += '\n    workflow: "order_cancellation"' if name == "subworkflow" else ""
    config = CONFIG.get(name, "config: {}")
    draft(acme, f'  - id: "it"\n    {kind}\n    {config}')
    done = step_of(dry_run(acme, text="Order 1042, ann@example.com"), "it")
    assert (called, done.state, done.how) == ([], "done", How.ASSUMED)


@pytest.mark.parametrize("name", [name for name, spec in TOOLS.items() if spec.is_action])
def test_no_undoing_and_no_fallback_reaches_its_action(acme, sink, monkeypatch, name):
    spec, called = TOOLS[name], []
    real = registry._load
    monkeypatch.setattr(
        registry,
        "_load",
        lambda path: (lambda c: called.append(path) or {}) if path.endswith(f".{name}") else real(path),
    )
    address = 'method: "POST", url: "https://shop.example/x"'
    config = f", config: {{{address}}}" if name == "http_request" else ""
    text = "${settings.http_request.nothing}"
    fails = f'\n  - {{id: "b", type: "tool", tool: "generic_response", config: {{text: "{text}"}}}}'
    fallback = "" if config else f"\nerror_handling: [{{type: fallback, action: {name}}}]"
    draft(acme, calls(sink, "a") + fails, f'compensation: [{{step: a, action: "{name}"{config}}}]')
    outcome = dry_run(acme)
    assert outcome.status == "compensated"
    assert step_of(outcome, "a").undo["action"] == name
    draft(acme, calls(sink, "a") + fails, fallback)
    dry_run(acme)
    assert bool(called) == (spec.effect is Effect.NONE)
    assert sink.requests == []


def test_a_command_that_nobody_has_thought_about_is_not_performed(acme, monkeypatch):
    class Unknown:
        pass

    draft(acme, '  - {id: "find", type: "tool", tool: "faq_search"}')
    monkeypatch.setattr(d, "decide", lambda *_: Unknown())
    outcome = dry_run(acme, text="hello")
    assert (outcome.status, outcome.error) == ("failed", "Unknown cannot be rehearsed")
    # Whoever adds a command decides here how it is rehearsed.
    assert set(get_args(d.Command)) == {*REHEARSED, d.Finish, d.Rest, d.LookUp}


def test_nothing_is_written_but_the_record(acme, globex, sink):
    crm.create_order(tenant=acme, number="1042", total_cents=1, customer_email="ann@example.com")
    conversation = open_conversation(
        tenant=acme, channel="api", customer=CustomerInput(email="ann@example.com")
    )
    receive_message(tenant=acme, conversation_id=conversation.id, text="Where is order 1042?")
    before = {tenant.slug: contents(tenant) for tenant in (acme, globex)}
    draft_before = draft(
        acme,
        '  - {id: "route", type: "router"}\n'
        '  - {id: "hold", type: "tool", tool: "order_hold", config: {order_number: "1042"}}\n'
        '  - {id: "lead", type: "tool", tool: "lead_capture"}\n'
        '  - {id: "human", type: "escalation", config: {escalation_queue: "vip"}}\n'
        '  - {id: "rest", type: "wait", config: {for: "3d"}}\n'
        '  - {id: "consent", type: "wait", config: {approval: "Really?"}}\n'
        '  - {id: "reply", type: "llm", model: "gpt-4"}\n' + calls(sink, "notify"),
    )
    assert draft_before.number == 1
    before["acme"] = contents(acme)
    outcome = dry_run(acme, text="I want to complain", conversation_id=str(conversation.id))
    assert outcome.status == "completed"
    assert [step.state for step in outcome.steps] == ["done"] * 8
    assert {tenant.slug: contents(tenant) for tenant in (acme, globex)} == before
    assert sink.requests == []
    assert step_of(outcome, "hold").output["is_held"] is True
    assert step_of(outcome, "human").output["queue"] == "vip"
    assert "passed this conversation on" in outcome.text
    assert step_of(outcome, "consent").output["approved"] is True
    assert [step.id for step in outcome.intercepted] == [
        "hold", "lead", "human", "notify",
    ]  # fmt: skip


def test_the_digest_sees_a_write(acme):
    before = contents(acme)
    crm.create_order(tenant=acme, number="1", total_cents=1)
    assert contents(acme) != before


def test_it_shows_what_would_be_sent_without_the_secrets(acme, sink):
    update_tool_setting(tenant=acme, tool="http_request", config={"api_token": "s3cret-value"})
    draft(
        acme,
        '  - id: "tell"\n    type: "tool"\n    tool: "http_request"\n'
        f'    config: {{method: "POST", url: "{sink.url}/x",'
        ' headers: {X-Shop: "${settings.http_request.api_token}"},'
        ' json: {text: "${text}", password: "hunter2"}}',
    )
    told = step_of(dry_run(acme, text="hello"), "tell")
    assert told.arguments["json"] == {"text": "hello", "password": "•••"}
    assert told.arguments["headers"] == {"X-Shop": "•••"}
    assert told.output == {"status": 200, "body": None}


def test_conditions_and_the_path_are_told(acme):
    draft(
        acme,
        '  - {id: "a", type: "tool", tool: "faq_search", condition: "text == \'no\'"}\n'
        '  - {id: "b", type: "tool", tool: "order_hold", condition: "text == \'yes\'",'
        ' config: {order_number: "7"}}',
    )
    outcome = dry_run(acme, text="yes")
    assert [(s.id, s.state) for s in outcome.steps] == [("a", "skipped"), ("b", "done")]
    assert step_of(outcome, "a").condition["result"] is False
    assert step_of(outcome, "b").output["order_number"] == "7", "what was given is told as done"


def test_what_is_written_in_the_editor_can_be_tried_before_it_is_saved(acme):
    draft(acme, '  - {id: "a", type: "tool", tool: "faq_search"}')
    source = 'name: "w"\nversion: "2"\nsteps:\n  - {id: "other", type: "tool", tool: "faq_search"}\n'
    case = services.dry_run(tenant=acme, name="w", given={"text": "x"}, source=source)
    assert [step.id for step in case.after.steps] == ["other"]
    with pytest.raises(InvalidWorkflowSource):
        services.dry_run(tenant=acme, name="w", given={"text": "x"}, source="name: w")
    with pytest.raises(NotFoundError):
        services.dry_run(tenant=acme, name="nowhere", given={})


@pytest.mark.parametrize(
    "given", [{}, {"text": "x", "nothing": 1}, {"text": "x", "conversation_id": "y"}, {"text": "a\x00b"}]
)
def test_wrong_input_is_refused(acme, given):
    draft(acme, '  - {id: "route", type: "router"}')
    with pytest.raises(InvalidInput):
        dry_run(acme, **given)


def test_a_loop_comes_to_an_end(acme, monkeypatch):
    draft(acme, '  - {id: "a", type: "tool", tool: "faq_search"}')
    monkeypatch.setattr(rehearsing, "MAX_TURNS", 0)
    assert "does not come to its end" in dry_run(acme, text="x").error


def test_the_daily_bound_holds_for_each_company(acme, globex, settings):
    for tenant in (acme, globex):
        draft(tenant, '  - {id: "a", type: "tool", tool: "faq_search"}')
    settings.REHEARSAL_DAILY_CASES = 1
    dry_run(acme, text="x")
    with pytest.raises(BoundReached):
        dry_run(acme, text="x")
    dry_run(globex, text="x")


def test_the_engine_is_the_real_one():
    assert Rehearsal.run is rehearsing.Execution.run, "it decides and goes on as every run does"


def test_steps_beside_each_other_and_loops_are_rehearsed_too(acme, sink):
    post = '{{id: "{0}", type: "tool", tool: "http_request", config: {{method: "POST", url: "{1}/{0}"}}}}'
    one, other, each = (post.format(name, sink.url) for name in "abc")
    rest = '{id: "rest", type: "wait", config: {for: "1d"}}'
    draft(
        acme,
        f'  - {{id: "both", type: "parallel", branches: [{{id: "one", steps: [{one}]}},'
        f' {{id: "other", steps: [{other}, {rest}]}}]}}\n'
        f'  - {{id: "loop", type: "foreach", config: {{items: [1, 2]}}, steps: [{each}]}}',
    )
    outcome = dry_run(acme)
    assert (outcome.status, outcome.error) == ("completed", "")
    assert sorted(step.id for step in outcome.intercepted) == [
        "both.a", "both.b", "loop[0].c", "loop[1].c",
    ]  # fmt: skip
    assert sink.requests == []


def test_a_workflow_with_a_time_limit_is_rehearsed(acme):
    source = f'name: "w"\nversion: "1"\ntimeout: "1m"\nsteps:\n{FIND}\n'
    save_draft(tenant=acme, source=source)
    assert dry_run(acme, text="x").status == "completed"


def test_another_systems_answer_is_read_anew_without_a_recording(acme, sink):
    draft(acme, f'  - {{id: "ask", type: "tool", tool: "http_request", config: {{url: "{sink.url}/stock"}}}}')
    asked = step_of(dry_run(acme), "ask")
    assert (asked.how, len(sink.requests)) == (How.EXECUTED, 1)

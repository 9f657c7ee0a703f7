"""Simulations: a draft on recorded runs, compared with what was recorded, in the background."""

import datetime as dt

import pytest
from django.utils import timezone

from apps.conversations.contracts import CustomerInput
from apps.conversations.services import open_conversation
from apps.crm import services as crm
from apps.orchestration import mailbox, services
from apps.orchestration.definitions.services import publish_workflow, save_draft
from apps.orchestration.models import AgentRun
from apps.orchestration.rehearsals import cases as cases_module
from apps.orchestration.rehearsals import selectors
from apps.orchestration.rehearsals import services as rehearsals
from apps.orchestration.rehearsals.cases import read_recorded
from apps.orchestration.rehearsals.contracts import (
    Against,
    BoundReached,
    CaseStatus,
    Change,
    How,
    RehearsalStatus,
    Selection,
)
from apps.orchestration.rehearsals.erasing import erase_traces
from apps.orchestration.rehearsals.models import Rehearsal, RehearsalCase
from apps.orchestration.rehearsals.words import mark_words
from apps.resilience.errors import ConflictError, InvalidInput, NotFoundError
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Subject
from tests.orchestration.engine import Crash, calls, show
from tests.orchestration.simulating import cases_of, draft, record, say, simulate

pytestmark = pytest.mark.usefixtures("no_hints", "closed_breakers")
SAY = '  - {{id: "say", type: "tool", tool: "http_request", config: {{method: "POST", url: "{url}/{path}"}}}}'
SUPPORT = "customer_support_workflow"


@pytest.fixture(autouse=True)
def hints(monkeypatch):
    """Collect hints instead of sending them."""
    sent = []
    monkeypatch.setattr(rehearsals, "_send_hint", lambda tenant, rehearsal_id: sent.append(rehearsal_id))
    return sent


def test_the_same_workflow_shows_no_change_and_does_nothing_again(acme, sink, publish):
    version = publish(acme, calls(sink, "a", "b"))
    record(acme, 3)
    done_before = len(sink.requests)
    save_draft(tenant=acme, source=version.source + "# the same")
    shown = simulate(acme)
    assert (shown.status, shown.done, shown.total) == (RehearsalStatus.DONE, 3, 3)
    assert (shown.summary.same_answers, shown.summary.cases) == (3, 3)
    assert not cases_of(acme, shown.id, Change.CHANGED)
    assert len(sink.requests) == done_before
    first = cases_of(acme, shown.id)[0]
    assert [step.how for step in first.after.steps] == [How.RECORDED, How.RECORDED]
    assert first.after.steps[0].output == first.before.steps[0].output


def test_a_changed_call_is_found_and_answered_as_if_it_succeeded(acme, sink, publish):
    publish(acme, SAY.format(url=sink.url, path="old"))
    record(acme, 2)
    draft(acme, SAY.format(url=sink.url, path="new"))
    shown = simulate(acme)
    assert shown.summary.changed_calls == 2
    case = cases_of(acme, shown.id, Change.CALLS)[0]
    assert case.before.steps[0].arguments["url"].endswith("/old")
    assert case.after.steps[0].arguments["url"].endswith("/new")
    assert case.after.steps[0].how == How.ASSUMED
    assert [request["path"] for request in sink.requests] == ["/old", "/old"]


def test_a_recorded_failure_fails_again_and_a_new_one_is_counted(acme, sink, publish):
    sink.answer = lambda path, number: 422 if "bad" in path else 200
    version = publish(acme, SAY.format(url=sink.url, path="bad"))
    record(acme)
    save_draft(tenant=acme, source=version.source + "# the same")
    shown = simulate(acme)
    assert (shown.summary.new_failures, shown.summary.mended) == (0, 0)
    assert "answered 422" in cases_of(acme, shown.id)[0].after.error
    draft(acme, SAY.format(url=sink.url, path="good"))
    assert simulate(acme).summary.mended == 1
    publish_workflow(tenant=acme, name="w")
    record(acme)
    draft(acme, SAY.format(url=sink.url, path="good"), 'inputs: {amount: {type: "int", required: true}}')
    shown = simulate(acme, last=1)
    assert shown.summary.new_failures == 1
    assert "amount" in cases_of(acme, shown.id, Change.FAILURE)[0].after.error


def test_a_recorded_approval_is_taken(acme, publish):
    wait = '  - {id: "consent", type: "wait", config: {approval: "Really?"}}\n'
    version = publish(acme, wait + '  - {id: "a", type: "tool", tool: "faq_search"}')
    [run_id] = record(acme, text="x")
    mailbox.answer_approval(tenant=acme, run_id=run_id, step_id="consent", is_approved=False, comment="no")
    services.execute_run(tenant=acme, run_id=run_id)
    save_draft(tenant=acme, source=version.source + "# the same")
    case = cases_of(acme, simulate(acme).id)[0]
    consent = case.after.steps[0]
    assert (consent.how, consent.output["approved"], consent.output["comment"]) == (How.RECORDED, False, "no")


def test_what_was_said_later_is_not_read(acme):
    crm.create_order(
        tenant=acme, number="1042", total_cents=1, customer_email="ann@example.com", status="shipped"
    )
    person = CustomerInput(email="ann@example.com")
    conversation_id = open_conversation(tenant=acme, channel="api", customer=person).id
    asked = say(acme, conversation_id, "Where is my order?")
    for _ in range(5):
        say(acme, conversation_id, "Where is my order 1042? I am ann@example.com")
    answered = show(acme, asked).output["text"]
    assert "order number" in answered
    recorded = read_recorded(tenant=acme, run_id=asked)
    source = publish_source(acme)
    save_draft(tenant=acme, source=source + "# the same")
    shown = simulate(acme, name=SUPPORT)
    first = next(case for case in cases_of(acme, shown.id) if case.run_id == asked)
    assert first.after.text == answered == recorded.outcome.text
    assert shown.summary.same_answers == shown.summary.cases == 6
    assert shown.summary.changed_routes == 0


def test_a_run_that_no_message_began_reads_what_was_said_until_then(acme, publish):
    publish(acme, '  - {id: "find", type: "tool", tool: "order_search"}')
    person = CustomerInput(email="ann@example.com")
    conversation_id = open_conversation(tenant=acme, channel="api", customer=person).id
    say(acme, conversation_id, "It is about order 1042")
    [run_id] = record(acme, text="Where is it?", conversation_id=str(conversation_id))
    with in_tenant(acme):
        AgentRun.objects.filter(id=run_id).update(created_at=timezone.now())
    say(acme, conversation_id, "Sorry, order 7777")
    assert read_recorded(tenant=acme, run_id=run_id).input["seq"] == 3


def publish_source(tenant):
    from apps.orchestration.definitions.selectors import get_workflow

    return get_workflow(tenant=tenant, name=SUPPORT).published.source


def test_routes_and_escalations_are_compared(acme):
    conversation_id = open_conversation(tenant=acme, channel="api").id
    say(acme, conversation_id, "This is a complaint: your service is terrible and I want my money back!")
    source = publish_source(acme)
    changed = source.replace("confidence < 0.7 OR intent == 'complaint'", "intent == 'nothing_like_it'")
    assert changed != source
    save_draft(tenant=acme, source=changed)
    shown = simulate(acme, name=SUPPORT)
    assert (shown.summary.fewer_escalations, shown.summary.more_escalations) == (1, 0)
    [case] = cases_of(acme, shown.id, Change.ESCALATION)
    assert case.changes.answer_changed
    older, newer = mark_words(case.before.text, case.after.text)
    assert any(is_changed for is_changed, _ in older + newer)
    assert "".join(text for _, text in older) == case.before.text


def test_the_published_version_can_be_rehearsed_beside_it(acme, sink, publish):
    publish(acme, SAY.format(url=sink.url, path="old"))
    record(acme)
    publish(acme, SAY.format(url=sink.url, path="middle"))
    draft(acme, SAY.format(url=sink.url, path="middle"), "# the same")
    assert simulate(acme).summary.changed_calls == 1, "against what was recorded"
    beside = simulate(acme, against=Against.REHEARSED)
    assert beside.summary.changed_calls == 0
    assert cases_of(acme, beside.id)[0].before.steps[0].arguments["url"].endswith("/middle")


def test_runs_are_chosen_by_time_route_and_number(acme, publish):
    conversation_id = open_conversation(tenant=acme, channel="api").id
    complaint = say(acme, conversation_id, "This is a complaint: terrible, I want my money back!")
    say(acme, conversation_id, "Hello")
    intent = show(acme, complaint).output["receipt"]["intent"]

    def chosen(**selection):
        with in_tenant(acme):
            found = selectors.choose_runs(workflow=SUPPORT, selection=Selection(**selection))
            return [run.id for run in found]

    assert len(chosen()) == 2
    assert chosen(last=1) != [complaint]
    assert chosen(intent=intent) == [complaint]
    assert complaint in chosen(only_escalated=True)
    assert chosen(since=timezone.now()) == []
    assert chosen(until=timezone.now() - dt.timedelta(days=1)) == []


def test_a_worker_that_dies_loses_nothing_and_nothing_is_stored_twice(acme, publish, monkeypatch):
    publish(acme, '  - {id: "a", type: "tool", tool: "faq_search"}')
    record(acme, 4, text="x")
    draft(acme, '  - {id: "a", type: "tool", tool: "faq_search"}')
    begun = rehearsals.start_simulation(tenant=acme, name="w", selection=Selection())
    passed, real = [], rehearsals.rehearse_recorded

    def dies_in_the_third(**which):
        passed.append(which["run_id"])
        if len(passed) == 3:
            raise Crash
        return real(**which)

    monkeypatch.setattr(rehearsals, "rehearse_recorded", dies_in_the_third)
    with pytest.raises(Crash):
        rehearsals.run_simulation(tenant=acme, rehearsal_id=begun.id)
    assert not rehearsals.run_simulation(tenant=acme, rehearsal_id=begun.id), "its lease still holds"
    halfway = selectors.get_rehearsal(tenant=acme, rehearsal_id=begun.id)
    assert (halfway.done, halfway.status, halfway.progress_percent) == (2, RehearsalStatus.RUNNING, 50)
    with in_tenant(acme):
        Rehearsal.objects.update(leased_until=timezone.now() - dt.timedelta(seconds=1))
    assert rehearsals.sweep_due_simulations(tenant=acme) == 1
    done = selectors.get_rehearsal(tenant=acme, rehearsal_id=begun.id)
    assert (done.done, done.status) == (4, RehearsalStatus.DONE)
    assert len(passed) == 5, "only the case in flight was begun again"
    assert len({case.run_id for case in cases_of(acme, begun.id)}) == 4


def test_a_worker_that_slept_changes_nothing(acme, publish, monkeypatch):
    publish(acme, '  - {id: "a", type: "tool", tool: "faq_search"}')
    record(acme, 2, text="x")
    draft(acme, '  - {id: "a", type: "tool", tool: "faq_search"}')
    begun = rehearsals.start_simulation(tenant=acme, name="w", selection=Selection())
    real = rehearsals.rehearse_recorded

    def cancelled_meanwhile(**which):
        monkeypatch.setattr(rehearsals, "rehearse_recorded", real)
        rehearsals.cancel_simulation(tenant=acme, rehearsal_id=begun.id, actor="t")
        return real(**which)

    monkeypatch.setattr(rehearsals, "rehearse_recorded", cancelled_meanwhile)
    rehearsals.run_simulation(tenant=acme, rehearsal_id=begun.id)
    shown = selectors.get_rehearsal(tenant=acme, rehearsal_id=begun.id)
    assert (shown.status, shown.done) == (RehearsalStatus.CANCELLED, 0)
    assert not rehearsals.run_simulation(tenant=acme, rehearsal_id=begun.id)
    with pytest.raises(ConflictError):
        rehearsals.cancel_simulation(tenant=acme, rehearsal_id=begun.id)


def test_a_case_that_takes_workers_down_is_passed_over(acme, publish, monkeypatch):
    publish(acme, '  - {id: "a", type: "tool", tool: "faq_search"}')
    record(acme, 2, text="x")
    draft(acme, '  - {id: "a", type: "tool", tool: "faq_search"}')
    begun = rehearsals.start_simulation(tenant=acme, name="w", selection=Selection())
    with in_tenant(acme):
        Rehearsal.objects.update(attempts=rehearsals.MAX_ATTEMPTS)
    rehearsals.run_simulation(tenant=acme, rehearsal_id=begun.id)
    shown = selectors.get_rehearsal(tenant=acme, rehearsal_id=begun.id)
    assert (shown.status, shown.summary.failed, shown.summary.cases) == (RehearsalStatus.DONE, 1, 1)


def test_a_simulation_gives_its_worker_free_in_between(acme, publish, hints):
    publish(acme, '  - {id: "a", type: "tool", tool: "faq_search"}')
    record(acme, 2, text="x")
    draft(acme, '  - {id: "a", type: "tool", tool: "faq_search"}')
    begun = rehearsals.start_simulation(tenant=acme, name="w", selection=Selection())
    assert rehearsals.run_simulation(tenant=acme, rehearsal_id=begun.id, slice_s=-1)
    assert hints == [begun.id]
    assert rehearsals.run_simulation(tenant=acme, rehearsal_id=begun.id)
    assert selectors.get_rehearsal(tenant=acme, rehearsal_id=begun.id).status is RehearsalStatus.DONE


def test_the_draft_may_be_changed_meanwhile(acme, sink, publish):
    publish(acme, SAY.format(url=sink.url, path="old"))
    record(acme)
    draft(acme, SAY.format(url=sink.url, path="first"))
    begun = rehearsals.start_simulation(tenant=acme, name="w", selection=Selection())
    draft(acme, SAY.format(url=sink.url, path="second"))
    rehearsals.run_simulation(tenant=acme, rehearsal_id=begun.id)
    assert cases_of(acme, begun.id)[0].after.steps[0].arguments["url"].endswith("/first")


def test_refusals(acme, globex, publish, settings):
    publish(acme, '  - {id: "a", type: "tool", tool: "faq_search"}')
    draft(acme, '  - {id: "a", type: "tool", tool: "faq_search"}')
    with pytest.raises(InvalidInput, match="nothing to rehearse"):
        simulate(acme)
    with pytest.raises(InvalidInput, match="1 to 500"):
        simulate(acme, last=501)
    with pytest.raises(NotFoundError):
        simulate(globex)
    record(acme, 2, text="x")
    begun = rehearsals.start_simulation(tenant=acme, name="w", selection=Selection())
    with pytest.raises(ConflictError, match="under way"):
        rehearsals.start_simulation(tenant=acme, name="w", selection=Selection())
    with pytest.raises(NotFoundError):
        selectors.get_rehearsal(tenant=globex, rehearsal_id=begun.id)
    with pytest.raises(NotFoundError):
        rehearsals.cancel_simulation(tenant=globex, rehearsal_id=begun.id)
    rehearsals.cancel_simulation(tenant=acme, rehearsal_id=begun.id)
    settings.REHEARSAL_DAILY_CASES = 1
    with pytest.raises(BoundReached, match="Choose fewer"):
        simulate(acme)


def test_it_stops_at_the_daily_bound(acme, publish, settings):
    publish(acme, '  - {id: "a", type: "tool", tool: "faq_search"}')
    record(acme, 3, text="x")
    draft(acme, '  - {id: "a", type: "tool", tool: "faq_search"}')
    begun = rehearsals.start_simulation(tenant=acme, name="w", selection=Selection())
    settings.REHEARSAL_DAILY_CASES = 2
    rehearsals.run_simulation(tenant=acme, rehearsal_id=begun.id)
    shown = selectors.get_rehearsal(tenant=acme, rehearsal_id=begun.id)
    assert (shown.status, shown.done) == (RehearsalStatus.STOPPED, 2)
    assert "midnight" in shown.error


def test_what_it_would_cost_is_told_by_the_price_book(acme, publish, settings):
    settings.MODEL_PRICES = {"ours": ("2", "10")}
    publish(acme, '  - {id: "a", type: "tool", tool: "faq_search"}')
    [one, other] = record(acme, 2, text="x")
    with in_tenant(acme):
        for run_id in (one, other):
            run = AgentRun.objects.get(id=run_id)
            run.output["receipt"] |= {"model": "ours", "prompt_tokens": 100, "completion_tokens": 10}
            run.save(update_fields=["output"])

    def estimate(against):
        return selectors.estimate_simulation(
            tenant=acme, workflow="w", selection=Selection(), against=against
        )

    told = estimate(Against.RECORDED)
    assert (told.cases, told.prompt_tokens, told.cost_microusd) == (2, 200, 2 * 300)
    assert estimate(Against.REHEARSED).cost_microusd == 2 * 600


def test_a_forgotten_customer_leaves_no_case(acme, globex, publish):
    ids = {}
    for tenant in (acme, globex):
        publish(tenant, '  - {id: "a", type: "tool", tool: "faq_search"}')
        record(tenant, text="I am ann@example.com")
        [ids[tenant.slug]] = record(tenant, text="somebody else")
        draft(tenant, '  - {id: "a", type: "tool", tool: "faq_search"}')
        simulate(tenant)
    customer = open_conversation(tenant=acme, channel="api", customer=CustomerInput(email="ann@example.com"))
    subject = Subject(customer_id=customer.customer_id, identifiers=("ann@example.com",))
    with in_tenant(acme):
        assert erase_traces(tenant=acme, subject=subject).rows == {"rehearsals.RehearsalCase": 1}
        assert [case.run_id for case in RehearsalCase.objects.all()] == [ids["acme"]]
    with in_tenant(globex):
        assert RehearsalCase.objects.count() == 2


def test_they_are_kept_for_a_month(acme, publish):
    publish(acme, '  - {id: "a", type: "tool", tool: "faq_search"}')
    record(acme, text="x")
    draft(acme, '  - {id: "a", type: "tool", tool: "faq_search"}')
    old, new = simulate(acme), simulate(acme)
    with in_tenant(acme):
        long_ago = timezone.now() - rehearsals.KEPT - dt.timedelta(hours=1)
        Rehearsal.objects.filter(id=old.id).update(created_at=long_ago)
    assert rehearsals.purge_rehearsals(tenant=acme) == 1
    with in_tenant(acme):
        assert [row.id for row in Rehearsal.objects.all()] == [new.id]
        assert RehearsalCase.objects.count() == 1


def test_a_run_whose_history_is_gone_is_told_as_such(acme, publish, monkeypatch):
    publish(acme, '  - {id: "a", type: "tool", tool: "faq_search"}')
    record(acme, text="x")
    draft(acme, '  - {id: "a", type: "tool", tool: "faq_search"}')
    monkeypatch.setattr(cases_module, "read_facts", lambda run: [])
    shown = simulate(acme)
    [case] = cases_of(acme, shown.id, Change.FAILURE)
    assert (case.status, case.error) == (CaseStatus.FAILED, "The run's history is not kept any more.")
    assert shown.summary.failed == 1


def test_another_system_is_not_asked_again(acme, sink, publish):
    ask = f'  - {{id: "ask", type: "tool", tool: "http_request", config: {{url: "{sink.url}/stock"}}}}'
    version = publish(acme, ask)
    record(acme)
    save_draft(tenant=acme, source=version.source + "# the same")
    case = cases_of(acme, simulate(acme).id)[0]
    assert (case.after.steps[0].how, len(sink.requests)) == (How.RECORDED, 1)

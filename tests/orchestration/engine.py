"""What tests of the engine start, look at and kill."""

from contextlib import contextmanager

from django.db.models.functions import Now

from apps.orchestration import selectors, services
from apps.orchestration.definitions.selectors import get_definition
from apps.orchestration.engine import execution
from apps.orchestration.engine.journal import Journal, read_facts
from apps.orchestration.engine.replay import replay
from apps.orchestration.engine.state import fold
from apps.orchestration.models import AgentRun, RunEvent
from apps.tenants.context import in_tenant

CALL = """
  - id: "{id}"
    type: "tool"
    tool: "http_request"
    config: {{method: "POST", url: "{url}/{id}"}}
    retry: {{max_attempts: {attempts}, initial_delay_s: {delay}, backoff_factor: 1}}"""


class Crash(BaseException):
    """The process dies here."""


def calls(sink, *names, attempts=2, delay=0.01):
    return "\n".join(CALL.format(id=name, url=sink.url, attempts=attempts, delay=delay) for name in names)


def undo(sink, *names):
    lines = [
        f'  - {{step: "{n}", action: "http_request", config: {{method: "POST", url: "{sink.url}/undo-{n}"}}}}'
        for n in names
    ]
    return "\n".join(["compensation:", *lines])


def start(tenant, name="w", **given):
    return services.start_run(tenant=tenant, workflow_name=name, input=given).id


def show(tenant, run_id):
    return selectors.get_run(tenant=tenant, run_id=run_id)


def states(tenant, run_id):
    return {step.id: step.state.value for step in show(tenant, run_id).steps}


def expire(tenant, run_id):
    with in_tenant(tenant):
        AgentRun.objects.filter(id=run_id, due_at__isnull=False).update(due_at=Now())


def go_on(tenant, rounds=8):
    """Execute whatever of a tenant is due, as workers would, until nothing is."""
    for _ in range(rounds):
        with in_tenant(tenant):
            due = list(AgentRun.objects.filter(due_at__isnull=False).values_list("id", flat=True))
        if not [services.execute_run(tenant=tenant, run_id=run_id) for run_id in due].count(True):
            return
    raise AssertionError("the runs do not come to rest")


def kinds(tenant, run_id):
    return [event.kind for event in selectors.list_run_events(tenant=tenant, run_id=run_id)]


def paths(sink):
    return [request["path"].strip("/") for request in sink.requests]


def assert_history_is_whole(tenant, run_id):
    with in_tenant(tenant):
        run = AgentRun.objects.get(id=run_id)
        seqs = list(RunEvent.objects.filter(run_id=run_id).order_by("seq").values_list("seq", flat=True))
        assert seqs == list(range(1, run.version + 1))
        assert fold(read_facts(run)).status.value == run.status


def differences(tenant, run_id):
    """Replay a run's decisions over its history."""
    with in_tenant(tenant):
        run = AgentRun.objects.get(id=run_id)
        return replay(read_facts(run), get_definition(tenant=tenant, digest=run.workflow_hash))


@contextmanager
def dying_at(monkeypatch, point, passes):
    """Make the process die at a point of the engine that it has passed so many times before."""
    left = [passes]

    def die_here(at: str) -> None:
        if at == point:
            left[0] -= 1
            if left[0] == -1:
                raise Crash

    attempt, run = execution.Execution._attempt, execution.Execution.run
    commit, finish = Journal.commit, execution.finish

    def attempt_or_die(self, tool, effect, action, *rest):
        def act(context):
            output = action(context)
            die_here("effect")
            return output

        attempt(self, tool, effect, act, *rest)
        die_here("result")

    @contextmanager
    def commit_or_die(self, **changes):
        with commit(self, **changes) as fields:
            yield fields
        die_here("intent")

    def run_or_die(self):
        die_here("claim")
        return run(self)

    def finish_or_die(*args):
        try:
            finish(*args)
        finally:
            die_here("end")

    with monkeypatch.context() as patched:
        patched.setattr(execution.Execution, "_attempt", attempt_or_die)
        patched.setattr(Journal, "commit", commit_or_die)
        patched.setattr(execution.Execution, "run", run_or_die)
        patched.setattr(execution, "finish", finish_or_die)
        yield

"""Five-step sagas, a quarter of which fail and are undone: started, and afterwards looked at."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID, uuid5

from django.db import Error as DatabaseError
from django.db import connections

from apps.orchestration import services
from apps.orchestration.contracts import RunStatus
from apps.orchestration.definitions import services as definitions
from apps.orchestration.models import AgentRun
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.services import provision_tenant
from benchmarks.faults.sink import Call, EffectSink

T = TypeVar("T")
STEP = """
  - id: "{id}"
    type: "tool"
    tool: "http_request"
    retry: {{max_attempts: 4, initial_delay_s: 0.2, backoff_factor: 2}}
    config: {{method: "POST", url: "http://{address}/{id}/${{input.number}}"}}"""
UNDO = """
  - step: "{id}"
    action: "http_request"
    config: {{method: "POST", url: "http://{address}/undo-{id}/${{input.number}}"}}"""
LEAD = """
  - id: "note"
    type: "tool"
    tool: "lead_capture"
    config: {name: "Saga ${input.number}", email: "saga-${input.number}@example.com"}"""
CALLED, UNDONE = ("reserve", "charge", "ship", "confirm"), ("charge", "reserve")


def make_tenants(address: str, slugs: tuple[str, ...] = ("acme", "globex")) -> list[TenantRef]:
    """Make companies that have the workflow."""
    steps = [STEP.format(id=name, address=address) for name in CALLED]
    undo = "".join(UNDO.format(id=name, address=address) for name in reversed(UNDONE))
    source = (
        'name: "saga"\nversion: "1"\ninputs:\n  number: {type: "int", required: true}\nsteps:'
        f"{''.join([*steps[:2], LEAD, *steps[2:]])}\ncompensation:{undo}\n"
    )
    tenants = [provision_tenant(slug=slug, name=slug.title(), plan="enterprise") for slug in slugs]
    for tenant in tenants:
        definitions.save_draft(tenant=tenant, source=source)
        definitions.publish_workflow(tenant=tenant, name="saga")
    return tenants


class Sagas:
    """All sagas of a proof: saga `n` is the tenants' in turns, under a run id of its own."""

    def __init__(self, tenants: list[TenantRef]) -> None:
        self.tenants = tenants
        self.started_at: dict[int, float] = {}

    def tenant_of(self, number: int) -> TenantRef:
        return self.tenants[number % len(self.tenants)]

    def run_id_of(self, number: int) -> UUID:
        return uuid5(self.tenant_of(number).id, f"saga {number}")

    def start(self, number: int) -> None:
        """Start a saga; whatever breaks meanwhile, the same again is the same run."""
        tenant, run_id = self.tenant_of(number), self.run_id_of(number)
        given = {"workflow_name": "saga", "input": {"number": number}, "run_id": run_id}
        self.started_at[number] = time.monotonic()
        insist(lambda: services.start_run(tenant=tenant, **given))  # type: ignore[arg-type]

    def count_ended(self) -> int:
        """Return how many runs have come to an end."""
        ends = [status.value for status in RunStatus if status.is_end]
        return sum(self._count(tenant, status__in=ends) for tenant in self.tenants)

    def count_by_status(self) -> Counter[str]:
        """Return how many runs there are of each status."""
        found: Counter[str] = Counter()
        for tenant in self.tenants:
            with in_tenant(tenant):
                found.update(AgentRun.objects.values_list("status", flat=True))
        return found

    def find_lost(self) -> list[int]:
        """Return the numbers of sagas that did not end as they had to."""
        ended: dict[UUID, str] = {}
        for tenant in self.tenants:
            with in_tenant(tenant):
                ended.update(AgentRun.objects.values_list("id", "status"))
        wanted = {n: "compensated" if EffectSink.is_to_fail(n) else "completed" for n in self.started_at}
        return [number for number, status in wanted.items() if ended.get(self.run_id_of(number)) != status]

    @staticmethod
    def _count(tenant: TenantRef, **chosen: Any) -> int:
        def count() -> int:
            with in_tenant(tenant):
                return AgentRun.objects.filter(**chosen).count()

        return insist(count)


def insist(call: Callable[[], T], patience_s: float = 60.0) -> T:
    """Call until the database answers."""
    ends_at = time.monotonic() + patience_s
    while True:
        try:
            return call()
        except DatabaseError:
            if time.monotonic() > ends_at:
                raise
            connections.close_all()
            time.sleep(0.1)


def examine(calls: list[Call], numbers: list[int]) -> dict[str, Any]:
    """Compare what the sink was asked for with what each saga had to ask for."""
    keys: dict[tuple[int, str], set[str]] = defaultdict(set)
    first: dict[tuple[int, str], float] = {}
    for call in calls:
        keys[call.number, call.action].add(call.key)
        first.setdefault((call.number, call.action), call.at)
    missing = surplus = disordered = 0
    for number in numbers:
        undone = [f"undo-{name}" for name in UNDONE]
        wanted = [*CALLED[:3], *undone] if EffectSink.is_to_fail(number) else [*CALLED]
        times = [first.get((number, action)) for action in wanted]
        missing += times.count(None)
        disordered += None not in times and times != sorted(times)  # type: ignore[type-var]
        surplus += sum((number, action) in first for action in {*CALLED, *undone} - {*wanted})
    return {
        "effects": len(keys),
        "effects_missing": missing,
        "effects_twice": sum(len(found) - 1 for found in keys.values()),
        "effects_that_should_not_be": surplus,
        "sagas_out_of_order": disordered,
        "calls": len(calls),
        "calls_repeated_with_their_key": len(calls) - sum(map(len, keys.values())),
    }

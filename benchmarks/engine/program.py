"""What our side does in a process of its own: python -m benchmarks.engine.program MODE OPTIONS.

The inline turns' steps are as trivial as DBOS's: a tool that adds one, registered here and nowhere else.
"""

import json
import logging
import sys
import threading
import time
from typing import Any

import django

django.setup()

from django.db import connections  # noqa: E402

from apps.orchestration import services  # noqa: E402
from apps.orchestration.definitions.contracts import Effect  # noqa: E402
from apps.orchestration.definitions.language import types as t  # noqa: E402
from apps.orchestration.definitions.services import publish_workflow, save_draft  # noqa: E402
from apps.orchestration.steps import registry  # noqa: E402
from apps.orchestration.steps.context import Output, StepContext  # noqa: E402
from apps.orchestration.tools.specs import TOOLS, ToolSpec  # noqa: E402
from apps.tenants.context import in_tenant  # noqa: E402
from apps.tenants.contracts import TenantRef  # noqa: E402
from apps.tenants.schemas import migrate_shared  # noqa: E402
from apps.tenants.selectors import get_tenant  # noqa: E402
from apps.tenants.services import provision_tenant  # noqa: E402

SLUG, STEPS, WARM_UP, SETTLE_S = "bench", 5, 50, 3
CALLING = """\
name: "calling"
version: "1.0"
inputs:
  number: {type: "string"}
steps:
  - id: "call"
    type: "tool"
    tool: "http_request"
    config: {method: "POST", url: "URL/${input.number}"}
"""
ANY = {"type": "object", "properties": {"number": {"type": "integer"}}}


def prepare() -> dict[str, Any]:
    """Migrate and make the tenant."""
    migrate_shared()
    provision_tenant(slug=SLUG, name="Benchmark", plan="enterprise")
    return {}


def inline(threads: int, seconds: float, kind: str) -> dict[str, Any]:
    """Start runs and execute them at once, as a caller who waits does."""
    tenant = get_tenant(slug=SLUG)
    _publish(tenant, kind)
    for _ in range(WARM_UP):
        _run_once(tenant, kind)
    times: list[float] = []
    begin = time.perf_counter()

    def work() -> None:
        while time.perf_counter() < begin + seconds:
            began = time.perf_counter()
            _run_once(tenant, kind)
            times.append(time.perf_counter() - began)
        connections.close_all()

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    took = time.perf_counter() - begin
    return {"workflows": len(times), "seconds": took, **_percentiles(times)}


def paced(rate: float, seconds: float, url: str) -> dict[str, Any]:
    """Start runs at a rate, whose first step calls `url`, and tell when each was asked for."""
    tenant = get_tenant(slug=SLUG)
    save_draft(tenant=tenant, source=CALLING.replace("URL", url))
    publish_workflow(tenant=tenant, name="calling")
    for number in range(WARM_UP):
        _call(tenant, f"warm-up-{number}")
        time.sleep(1 / rate)
    time.sleep(SETTLE_S)
    asked, begin = {}, time.time()
    for number in range(int(rate * seconds)):
        time.sleep(max(0.0, begin + number / rate - time.time()))
        asked[str(number)] = time.time()
        _call(tenant, str(number))
    time.sleep(SETTLE_S)
    return {"asked": asked}


def _call(tenant: TenantRef, number: str) -> None:
    services.start_run(tenant=tenant, workflow_name="calling", input={"number": number})


def _run_once(tenant: TenantRef, kind: str) -> None:
    with in_tenant(tenant):
        run = services.start_run(tenant=tenant, workflow_name=f"five_{kind}", input={}, claim_inline=True)
    services.execute_run(tenant=tenant, run_id=run.id)


def _publish(tenant: TenantRef, kind: str) -> None:
    name = f"add_{kind}"
    spec = ToolSpec(name, "Add one.", Effect(kind), ANY, {"number": t.INT})
    TOOLS._built_in[name] = spec  # type: ignore[attr-defined]
    registry.TOOL_ACTIONS[name] = name
    loaded = registry._load
    registry._load = lambda wanted: _add if wanted == name else loaded(wanted)  # type: ignore[assignment]
    steps = "".join(f'  - {{id: "s{n}", type: "tool", tool: "{name}"}}\n' for n in range(STEPS))
    save_draft(tenant=tenant, source=f'name: "five_{kind}"\nversion: "1.0"\nsteps:\n{steps}')
    publish_workflow(tenant=tenant, name=f"five_{kind}")


def _add(context: StepContext) -> Output:
    return {"number": len(context.outputs) + 1}


def _percentiles(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    at = {"p50_ms": 0.5, "p99_ms": 0.99}
    return {name: round(ordered[int(share * (len(ordered) - 1))] * 1000, 2) for name, share in at.items()}


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    answer = {"prepare": prepare, "inline": inline, "paced": paced}[sys.argv[1]](**json.loads(sys.argv[2]))
    print("facts=" + json.dumps(answer), flush=True)

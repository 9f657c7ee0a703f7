"""What tests of simulations write, record and ask for."""

from apps.conversations.services import receive_message
from apps.orchestration import services
from apps.orchestration.definitions.services import save_draft
from apps.orchestration.rehearsals import selectors
from apps.orchestration.rehearsals import services as rehearsals
from apps.orchestration.rehearsals.contracts import Against, Selection
from apps.tenants.context import in_tenant
from tests.orchestration.engine import start


def draft(tenant, steps, rest="", name="w"):
    return save_draft(tenant=tenant, source=f'name: "{name}"\nversion: "2"\nsteps:\n{steps}\n{rest}')


def record(tenant, times=1, **given):
    """Run the published workflow on an input and return its ids."""
    ids = [start(tenant, **given) for _ in range(times)]
    for run_id in ids:
        services.execute_run(tenant=tenant, run_id=run_id)
    return ids


def simulate(tenant, name="w", against=Against.RECORDED, **selection):
    begun = rehearsals.start_simulation(
        tenant=tenant, name=name, selection=Selection(**selection), against=against, actor="t"
    )
    while rehearsals.run_simulation(tenant=tenant, rehearsal_id=begun.id):
        pass
    return selectors.get_rehearsal(tenant=tenant, rehearsal_id=begun.id)


def cases_of(tenant, rehearsal_id, change=""):
    with in_tenant(tenant):
        found = selectors.query_cases(rehearsal_id=rehearsal_id, change=change).order_by("position")
        return [case.view() for case in found]


def say(tenant, conversation_id, text):
    received = receive_message(tenant=tenant, conversation_id=conversation_id, text=text, run_inline=True)
    services.execute_or_await(tenant=tenant, run_id=received.run_id, wait_s=30)
    return received.run_id

"""Workflows and runs as a member works with them."""

import re

import pytest

from apps.orchestration.contracts import RunStatus
from apps.orchestration.definitions.selectors import get_workflow, list_workflows
from apps.orchestration.definitions.services import publish_workflow, save_draft
from apps.orchestration.models import AgentRun
from apps.orchestration.pages.graph import draw
from apps.orchestration.services import execute_run, start_run
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Role, TenantRef
from apps.tenants.selectors import list_audit_events
from tests.pages import log_in

pytestmark = pytest.mark.usefixtures("valkey")
SOURCE = """name: "mine"
version: "1.0"
description: "A test"

triggers:
  - type: "api"

steps:
  - id: "find"
    type: "tool"
    tool: "faq_search"

  - id: "reply"
    type: "llm"
"""
WRONG = SOURCE.replace('tool: "faq_search"', 'tool: "faq_serch"')
EDIT = "/app/workflows/w/mine/"


def save(client, source: str, base: str = "", url: str = "/app/workflows/new/"):
    return client.post(url, {"source": source, "base": base})


def test_a_mistake_is_told_with_its_line_before_publishing(acme: TenantRef):
    client = log_in(acme)
    line = WRONG.split("\n").index('    tool: "faq_serch"') + 1
    checked = client.post("/app/workflows/check/", {"source": WRONG}, headers={"HX-Request": "true"})
    page = checked.content.decode()
    assert f'data-line="{line}"' in page
    assert "faq_search" in page, "what to write instead"
    assert save(client, WRONG).status_code == 302, "a draft may have problems"
    client.post(f"{EDIT}publish/")
    assert get_workflow(tenant=acme, name="mine").published is None
    assert save(client, SOURCE, url=EDIT).status_code == 302
    assert client.post(f"{EDIT}publish/").headers["Location"] == f"{EDIT}versions/"
    assert get_workflow(tenant=acme, name="mine").published.number == 1
    assert list_audit_events(tenant=acme)[0].action == "workflow.published"


def test_versions_are_compared_and_rolled_back(acme: TenantRef):
    client = log_in(acme)
    save_draft(tenant=acme, source=SOURCE)
    publish_workflow(tenant=acme, name="mine")
    save_draft(tenant=acme, source=SOURCE.replace("A test", "Another"))
    page = client.get(f"{EDIT}versions/").content.decode()
    assert re.search(r'class="added">\+ description: &quot;Another&quot;', page)
    assert re.search(r'class="removed">- description: &quot;A test&quot;', page)
    client.post(f"{EDIT}publish/")
    page = client.post(f"{EDIT}publish/", {"number": "1"}, follow=True).content.decode()
    assert get_workflow(tenant=acme, name="mine").published.number == 1
    undo = re.search(r'action="([^"]+publish/\?number=2)"', page)[1]
    client.post(undo)
    assert get_workflow(tenant=acme, name="mine").published.number == 2
    assert client.post(f"{EDIT}publish/", {"number": "99"}).status_code == 404


def test_two_writers_do_not_overwrite_each_other(acme: TenantRef):
    client = log_in(acme)
    base = save_draft(tenant=acme, source=SOURCE).hash
    save_draft(tenant=acme, source=SOURCE.replace("A test", "Theirs"))
    answer = save(client, SOURCE.replace("A test", "Mine"), base, EDIT)
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "Somebody has saved this workflow" in page
    assert "Mine" in page
    assert "Theirs" in get_workflow(tenant=acme, name="mine").draft.source


@pytest.mark.parametrize(
    "source",
    [
        "",
        "\x00",
        "\t- a",
        "{[",
        "name: " + "x" * 100_000,
        "a: &a [" + "*a, " * 50 + "]",
        "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]",
        "- 1\n- 2",
        "name: 12",
        "name: \U0001f4a9",
        "!!python/object:os.system x",
    ],
)
def test_hostile_yaml_is_refused_with_a_reason(acme: TenantRef, source: str):
    client = log_in(acme)
    saved = save(client, source)
    assert saved.status_code == 422
    assert "errorlist" in saved.content.decode()
    assert client.post("/app/workflows/check/", {"source": source}).status_code in (200, 400)


def test_every_shipped_workflow_is_drawn_completely(acme: TenantRef):
    client = log_in(acme)
    for workflow in list_workflows(tenant=acme):
        page = client.get(f"/app/workflows/w/{workflow.name}/").content.decode()
        assert "No problem found" in page
        assert page.count('<rect class="box') >= 2


def test_a_drawing_is_the_same_each_time(acme: TenantRef):
    from apps.orchestration.definitions.language.compiler import compile_workflow

    source = get_workflow(tenant=acme, name="order_cancellation").published.source
    first, second = draw(compile_workflow(source)), draw(compile_workflow(source))
    assert first == second
    assert [box.title for box in first.steps] == ["hold_order", "notify_warehouse", "cancel_order"]
    assert [undo.note for _, undo in first.undos] == ["order_release"]


def test_a_run_shows_its_steps_and_is_retried(live_db, acme: TenantRef):
    client = log_in(acme)
    run = start_run(tenant=acme, workflow_name="order_cancellation", input={"order_number": "77"})
    execute_run(tenant=acme, run_id=run.id)
    page = client.get(f"/app/runs/{run.id}/").content.decode()
    for text in ("hold_order", "notify_warehouse", "Everything that was recorded", "run_started"):
        assert text in page
    with in_tenant(acme):
        status = AgentRun.objects.get(id=run.id).status
    assert client.post(f"/app/runs/{run.id}/cancel/", {"reason": "wrong order"}).status_code == (
        409 if RunStatus(status).is_end else 302
    )
    assert client.post(f"/app/runs/{run.id}/explode/").status_code == 404
    retried = client.post(f"/app/runs/{run.id}/retry/")
    assert retried.status_code == (302 if status == "failed" else 409)
    assert (
        client.post(f"/app/runs/{run.id}/resolve/", {"step": "hold_order", "outcome": "done"}).status_code
        == 409
    )
    assert client.post(f"/app/runs/{run.id}/resolve/", {"step": "", "outcome": "x"}).status_code == 400


def test_a_viewer_sees_what_a_run_is_about_but_nobodys_data(acme: TenantRef):
    given = {"order_number": "ORDER-77", "text": "Write to ann@shopper.example"}
    run = start_run(tenant=acme, workflow_name="order_cancellation", input=given)
    assert "ann@shopper.example" in log_in(acme).get(f"/app/runs/{run.id}/").content.decode()
    page = log_in(acme, Role.VIEWER).get(f"/app/runs/{run.id}/").content.decode()
    assert "ann@shopper.example" not in page
    assert "ORDER-77" in page
    assert "Your role does not see" in page


def test_runs_are_filtered_and_ours(acme: TenantRef, globex: TenantRef):
    mine = start_run(tenant=acme, workflow_name="order_cancellation", input={"order_number": "1"})
    theirs = start_run(tenant=globex, workflow_name="order_cancellation", input={"order_number": "1"})
    client = log_in(acme)
    page = client.get("/app/runs/", {"status": "running", "workflow": "order_cancellation"}).content.decode()
    assert str(mine.id) in page
    assert str(theirs.id) not in page
    assert "No run matches" in client.get("/app/runs/", {"status": "failed"}).content.decode()
    assert client.get("/app/runs/", {"status": "nonsense"}).status_code == 422


def test_lists_cost_the_same_for_many(acme: TenantRef, django_assert_max_num_queries):
    client = log_in(acme)
    for _ in range(6):
        run = start_run(tenant=acme, workflow_name="order_cancellation", input={"order_number": "1"})
    for path in ("/app/runs/", "/app/workflows/", f"/app/runs/{run.id}/"):
        client.get(path)
        with django_assert_max_num_queries(12):
            client.get(path)

"""Branches, loops and transitions as they are drawn, and how the drawing lights up on a run."""

import re

import pytest

from apps.crm import services as crm
from apps.orchestration import services
from apps.orchestration.contracts import StepStatus, StepView
from apps.orchestration.definitions.language.compiler import compile_workflow
from apps.orchestration.pages.graph import Lamp, draw, light
from apps.tenants.contracts import Role
from tests.orchestration.engine import start
from tests.orchestration.test_flow_language import FLOW
from tests.pages import log_in


def boxes(graph):
    return {box.title: box for box in graph.steps}


def holds(outer, inner):
    return (
        outer.x < inner.x and inner.right < outer.right and outer.y < inner.y and inner.bottom < outer.bottom
    )


def test_what_is_inside_is_drawn_inside_and_branches_side_by_side() -> None:
    graph = draw(compile_workflow(FLOW))
    drawn = boxes(graph)
    assert list(drawn) == ["look", "find", "say", "other", "each", "hold", "tell", "ask", "done"]
    assert all(holds(drawn["look"], drawn[name]) for name in ("find", "say", "other"))
    assert all(holds(drawn["each"], drawn[name]) for name in ("hold", "tell"))
    assert drawn["find"].y == drawn["other"].y
    assert drawn["find"].right < drawn["other"].x
    assert drawn["find"].x == drawn["say"].x
    words = [text for _, _, text in graph.labels]
    assert "→ done if steps.ask.approved" in words
    assert "undo: order_release" in words
    assert "hold: tool order_hold, for each item of each, undone by order_release" in graph.lines
    assert draw(compile_workflow(FLOW)) == graph


def view(path, state):
    return StepView(id=path, type="tool", state=StepStatus(state))


@pytest.mark.parametrize(
    ("views", "lamp"),
    [
        ([view("a", "done")], Lamp("done", "done")),
        ([view("a", "done"), view("a#2", "waiting")], Lamp("waiting", "waiting, 2 visits")),
        (
            [view("e[0].a", "done"), view("e[1].a", "running"), view("e[2].a", "pending")],
            Lamp("running", "running, 1 of 3 done"),
        ),
        (
            [view("e[0].a", "undone"), view("e[1].a", "stuck"), view("e[2].a", "failed")],
            Lamp("stuck", "stuck, 0 of 3 done"),
        ),
        (
            [view(f"p.e[{n}].a", "unknown" if n else "done") for n in (0, 1)],
            Lamp("unknown", "unknown, 1 of 2 done"),
        ),
    ],
)
def test_a_step_lights_up_as_what_most_needs_to_be_seen(views, lamp) -> None:
    assert light(views) == {"a": lamp}


@pytest.mark.usefixtures("live_db", "no_hints", "valkey")
def test_a_runs_page_shows_the_paths_and_each_nodes_state(acme, globex) -> None:
    crm.create_order(tenant=acme, number="R1", total_cents=100, items=[])
    run_id = start(acme, "order_recall", order_numbers=["R1", "gone"])
    services.execute_run(tenant=acme, run_id=run_id)
    page = log_in(acme, Role.ADMIN).get(f"/app/runs/{run_id}/").content.decode()
    for path in ("tell.tell_warehouse", "hold_each[0].hold", "hold_each[1].hold"):
        assert f"<h3>{path}</h3>" in page or path in page
    titles = re.findall(r'<rect class="box( frame)? (\w*)"[^>]*/>\s*<text class="strong"[^>]*>(\w+)<', page)
    states = {title: state for _, state, title in titles}
    assert states["hold_each"] == "failed"
    assert states["tell_warehouse"] == "skipped"
    assert states["hold"] == "failed"
    assert "order_hold · " in page
    assert log_in(globex, Role.ADMIN).get(f"/app/runs/{run_id}/").status_code == 404


@pytest.mark.usefixtures("live_db", "no_hints", "valkey")
def test_the_page_before_an_undoing_names_every_iteration(acme) -> None:
    for number in ("R1", "R2"):
        crm.create_order(tenant=acme, number=number, total_cents=100, items=[])
    run_id = start(acme, "order_recall", order_numbers=["R1", "R2"])
    services.execute_run(tenant=acme, run_id=run_id)
    page = log_in(acme, Role.ADMIN).get(f"/app/runs/{run_id}/compensate/").content.decode()
    assert 0 < page.index("hold_each[1].hold") < page.index("hold_each[0].hold")
    assert "order_release" in page

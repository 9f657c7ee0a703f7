"""Pages of workflows and of their runs."""

from django.urls import path

from apps.orchestration.pages import bulk, runs, steering, tools, workflows

urlpatterns = [
    path("workflows/", workflows.show_workflows, name="workflows"),
    path("workflows/new/", workflows.new_workflow, name="workflow_new"),
    path("workflows/check/", workflows.check_source, name="workflow_check"),
    path("workflows/w/<str:name>/", workflows.edit_workflow, name="workflow"),
    path("workflows/w/<str:name>/versions/", workflows.show_versions, name="workflow_versions"),
    path("workflows/w/<str:name>/publish/", workflows.publish, name="workflow_publish"),
    path("runs/bulk/new/", bulk.choose, name="run_bulk_new"),
    path("runs/bulk/<uuid:operation_id>/", bulk.show, name="run_bulk"),
    path("runs/bulk/<uuid:operation_id>/cancel/", bulk.cancel, name="run_bulk_cancel"),
    path("tools/", tools.show_tools, name="tools"),
    path("tools/try-now/", tools.try_now, name="callee_try_now"),
    path("tools/t/<str:name>/", tools.show_tool, name="tool"),
    path("tools/mcp/<uuid:server_id>/", tools.show_mcp_server, name="mcp_server"),
    path("tools/mcp/<uuid:server_id>/refresh/", tools.refresh_mcp_server, name="mcp_server_refresh"),
    path("tools/mcp/<uuid:server_id>/delete/", tools.delete_mcp_server, name="mcp_server_delete"),
    path("tools/mcp-tools/<uuid:tool_id>/approve/", tools.approve_mcp_tool, name="mcp_tool_approve"),
    path("tools/mcp-tools/<uuid:tool_id>/switch-off/", tools.switch_off_mcp_tool, name="mcp_tool_switch_off"),
    path("runs/", runs.show_runs, name="runs"),
    path("runs/<uuid:run_id>/", runs.show_run, name="run"),
    path("runs/<uuid:run_id>/cancel/", runs.undo_run, {"action": "cancel"}, name="run_cancel"),
    path("runs/<uuid:run_id>/compensate/", runs.undo_run, {"action": "compensate"}, name="run_compensate"),
    path("runs/<uuid:run_id>/retry/", runs.retry, name="run_retry"),
    path("runs/<uuid:run_id>/retry-from/", steering.retry_from, name="run_retry_from"),
    path("runs/<uuid:run_id>/undo-from/", steering.undo_from, name="run_undo_from"),
    path("runs/<uuid:run_id>/replay/", steering.replay, name="run_replay"),
    path("runs/<uuid:run_id>/pause/", steering.pause, name="run_pause"),
    path("runs/<uuid:run_id>/resume/", steering.resume, name="run_resume"),
    path("runs/<uuid:run_id>/approve/", runs.approve, name="run_approve"),
    path("runs/<uuid:run_id>/resolve/", runs.resolve, name="run_resolve"),
]

"""Workflows, their tools and their runs over HTTP."""

from django.urls import path

from apps.orchestration.api import bulk, mcp, runs, steering, timeline, tools, workflows

urlpatterns = [
    path("workflows", workflows.WorkflowsView.as_view(), name="api-workflows"),
    path("workflows/validate", workflows.ValidateView.as_view(), name="workflows-validate"),
    path("workflows/schema", workflows.LanguageView.as_view(), name="workflows-schema"),
    path("workflows/<str:name>", workflows.WorkflowView.as_view(), name="api-workflow"),
    path("workflows/<str:name>/versions", workflows.VersionsView.as_view(), name="workflow-versions"),
    path(
        "workflows/<str:name>/versions/<int:number>", workflows.VersionView.as_view(), name="workflow-version"
    ),
    path("workflows/<str:name>/publish", workflows.PublishView.as_view(), name="workflow-publish"),
    path("workflows/<str:name>/rollback", workflows.RollBackView.as_view(), name="workflow-rollback"),
    path("tools", tools.ToolsView.as_view(), name="tools"),
    path("tools/<str:name>", tools.ToolView.as_view(), name="tool"),
    path("mcp-servers", mcp.McpServersView.as_view(), name="mcp-servers"),
    path("mcp-servers/<uuid:server_id>", mcp.McpServerView.as_view(), name="mcp-server"),
    path("mcp-servers/<uuid:server_id>/refresh", mcp.RefreshView.as_view(), name="mcp-server-refresh"),
    path("mcp-tools/<uuid:tool_id>/approve", mcp.ApproveView.as_view(), name="mcp-tool-approve"),
    path("mcp-tools/<uuid:tool_id>/switch-off", mcp.SwitchOffView.as_view(), name="mcp-tool-switch-off"),
    path("failing-callees", mcp.CalleesView.as_view(), name="failing-callees"),
    path("runs/bulk", bulk.BulkOperationsView.as_view(), name="run-bulks"),
    path("runs/bulk/<uuid:operation_id>", bulk.BulkOperationView.as_view(), name="run-bulk"),
    path("runs/bulk/<uuid:operation_id>/cancel", bulk.CancelBulkView.as_view(), name="run-bulk-cancel"),
    path("runs", runs.RunsView.as_view(), name="api-runs"),
    path("runs/<uuid:run_id>", runs.RunView.as_view(), name="api-run"),
    path("runs/<uuid:run_id>/events", runs.RunEventsView.as_view(), name="run-events"),
    path("runs/<uuid:run_id>/timeline", timeline.TimelineView.as_view(), name="run-timeline"),
    path("runs/<uuid:run_id>/cancel", runs.CancelView.as_view(), name="run-cancel"),
    path("runs/<uuid:run_id>/compensate", steering.CompensateView.as_view(), name="run-compensate"),
    path("runs/<uuid:run_id>/retry", steering.RetryView.as_view(), name="run-retry"),
    path("runs/<uuid:run_id>/replay", steering.ReplayView.as_view(), name="run-replay"),
    path("runs/<uuid:run_id>/pause", steering.PauseView.as_view(), name="run-pause"),
    path("runs/<uuid:run_id>/resume", steering.ResumeView.as_view(), name="run-resume"),
    path("runs/<uuid:run_id>/signal", runs.SignalView.as_view(), name="run-signal"),
    path("runs/<uuid:run_id>/approve", runs.ApprovalView.as_view(), name="run-approve"),
    path("runs/<uuid:run_id>/resolve", runs.ResolveView.as_view(), name="run-resolve"),
]

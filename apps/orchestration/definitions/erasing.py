"""What becomes of this app's rows when a customer is forgotten."""

RULES = {
    "workflows.Workflow": "kept: the company's own",
    "workflows.WorkflowVersion": "kept: the company's own",
    "workflows.ToolSetting": "kept: settings of the company",
}

"""What becomes of MCP servers when a customer is forgotten."""

RULES = {
    "mcp_servers.McpServer": "kept: settings of the company",
    "mcp_servers.McpTool": "kept: settings of the company",
}

from django.apps import AppConfig


class McpConfig(AppConfig):
    name = "apps.orchestration.mcp"
    label = "mcp_servers"

"""MCP servers that a tenant has registered, and the tools that they offer."""

from __future__ import annotations

from django.db import models

from apps.orchestration.mcp.contracts import McpEffect, Offer, ServerView, ToolState, ToolView
from apps.tenants.orm import SealedTextField, TenantModel


class McpServer(TenantModel):
    """A server by the name that workflows use; its headers lie sealed, their names are shown."""

    name = models.CharField(max_length=31, unique=True)
    url = models.CharField(max_length=2048)
    headers = SealedTextField(blank=True)
    header_names = models.JSONField(default=list)
    is_enabled = models.BooleanField(default=True)
    refreshed_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=500, blank=True)

    def __str__(self) -> str:
        return self.name

    def view(self, tools: tuple[ToolView, ...] = ()) -> ServerView:
        return ServerView(
            id=self.id,
            name=self.name,
            url=self.url,
            header_names=tuple(self.header_names),
            is_enabled=self.is_enabled,
            refreshed_at=self.refreshed_at,
            error=self.error,
            created_at=self.created_at,
            tools=tools,
        )


class McpTool(TenantModel):
    """A tool as it is offered now, and as it was approved: workflows know only the latter.

    Where the two differ nobody calls it until a person has looked.
    """

    server = models.ForeignKey(McpServer, models.CASCADE, related_name="tools")
    name = models.CharField(max_length=128)
    offered = models.JSONField()
    digest = models.CharField(max_length=64)
    is_offered = models.BooleanField(default=True)
    approved = models.JSONField(null=True)
    approved_digest = models.CharField(max_length=64, blank=True)
    is_enabled = models.BooleanField(default=False)
    effect = models.CharField(
        max_length=10, choices=[(e.value, e.value) for e in McpEffect], default=McpEffect.NEITHER.value
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["server", "name"], name="mcp_tool_once")]

    def __str__(self) -> str:
        return self.name

    @property
    def state(self) -> ToolState:
        if not self.is_offered:
            return ToolState.GONE
        if self.offered.get("problem"):
            return ToolState.UNUSABLE
        if self.approved is None:
            return ToolState.NEW
        if self.approved_digest != self.digest:
            return ToolState.CHANGED
        return ToolState.READY if self.is_enabled else ToolState.OFF

    def view(self) -> ToolView:
        return ToolView(
            id=self.id,
            name=self.name,
            state=self.state,
            effect=McpEffect(self.effect),
            digest=self.digest,
            offered=Offer.read(self.offered),
            approved=Offer.read(self.approved) if self.approved else None,
        )

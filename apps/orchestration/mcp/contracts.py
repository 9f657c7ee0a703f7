"""What is known of MCP servers and their tools; no framework."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

PREFIX = "mcp."
SERVER_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
TOOL_NAME = re.compile(r"[A-Za-z0-9_./-]{1,128}")


class McpEffect(StrEnum):
    """What a tenant can vouch for: a server's own hints are not to be trusted, and cannot be asked later."""

    NONE = "none"
    IDEMPOTENT = "idempotent"
    NEITHER = "neither"


class ToolState(StrEnum):
    """NEW waits for an approval, CHANGED for another; GONE is offered no more, UNUSABLE cannot be called."""

    NEW = "new"
    READY = "ready"
    OFF = "off"
    CHANGED = "changed"
    GONE = "gone"
    UNUSABLE = "unusable"


@dataclass(frozen=True)
class Offer:
    """A tool as its server describes it.

    `arguments` is the schema by which they are checked, `problem` why they cannot be.
    """

    name: str = ""
    title: str = ""
    description: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    proposed: str = McpEffect.NEITHER.value
    problem: str = ""

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Offer:
        """Read what was stored, by this release or another."""
        return cls(**{name: stored[name] for name in cls.__dataclass_fields__ if name in stored})


@dataclass(frozen=True)
class ToolView:
    id: UUID
    name: str
    state: ToolState
    effect: McpEffect
    digest: str
    offered: Offer
    approved: Offer | None

    @property
    def changes(self) -> list[tuple[str, Any, Any]]:
        """Tell what differs from what was approved, as (what, before, now)."""
        if self.approved is None:
            return []
        names = ("title", "description", "arguments", "outputs")
        pairs = [(name, getattr(self.approved, name), getattr(self.offered, name)) for name in names]
        return [(name, before, now) for name, before, now in pairs if before != now]


@dataclass(frozen=True)
class ServerView:
    id: UUID
    name: str
    url: str
    header_names: tuple[str, ...]
    is_enabled: bool
    refreshed_at: dt.datetime | None
    error: str
    created_at: dt.datetime
    tools: tuple[ToolView, ...] = ()


@dataclass(frozen=True)
class ApprovedTool:
    """What a call needs: where to, with which headers, and what was approved."""

    server: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    tool: str
    arguments: Mapping[str, Any]

"""What is asked of MCP servers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class McpError(Exception):
    """A server could not be asked, or said no; the message is safe to show.

    `was_called` tells that a tool may have been called all the same, `is_retryable` that later may be better.
    """

    def __init__(self, message: str, *, is_retryable: bool = True, was_called: bool = False) -> None:
        super().__init__(message[:500])
        self.is_retryable, self.was_called = is_retryable, was_called


@dataclass(frozen=True)
class Called:
    """What a tool answered; `is_error` is the tool's own word."""

    text: str
    data: Any
    is_error: bool


@dataclass(frozen=True)
class Address:
    """A server's address with the headers that it wants."""

    url: str
    headers: Mapping[str, str]

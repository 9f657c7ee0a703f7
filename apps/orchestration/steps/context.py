"""What a step gets to work with, and how it fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from apps.tenants.contracts import TenantRef

Output = dict[str, Any]


class StepFailed(Exception):
    """A step could not do its work; `is_retryable` says whether another attempt may help."""

    def __init__(self, message: str, *, is_retryable: bool = True) -> None:
        super().__init__(message)
        self.is_retryable = is_retryable


class OutcomeUnknown(StepFailed):
    """A request may have had its effect, and no answer says so: only what can be repeated is tried again."""


@dataclass(frozen=True)
class StepContext:
    """One execution of a step.

    `effect_key` is the same at every attempt. `outputs` holds the earlier steps' outputs by id,
    `undone` the output of the step that is being undone, `emit` takes pieces of the reply as it forms, None
    where nobody listens.
    """

    tenant: TenantRef
    run_id: UUID
    step_id: str
    effect_key: str
    input: Mapping[str, Any]
    arguments: Mapping[str, Any]
    outputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    undone: Mapping[str, Any] = field(default_factory=dict)
    model: str = ""
    tool: str = ""
    graph: str = ""
    timeout_s: float | None = None
    emit: Callable[[str], None] | None = None

    @property
    def text(self) -> str:
        """The message that the run answers, or nothing."""
        return str(self.input.get("text", ""))

    @property
    def conversation_id(self) -> UUID | None:
        return _uuid(self.input.get("conversation_id"))

    @property
    def customer_id(self) -> UUID | None:
        return _uuid(self.input.get("customer_id"))

    def find(self, kind: str) -> Any:
        """Return the latest earlier output under a name, or None."""
        return next((out[kind] for out in reversed(list(self.outputs.values())) if out.get(kind)), None)


Action = Callable[[StepContext], Output]


def _uuid(value: Any) -> UUID | None:
    return UUID(str(value)) if value else None

"""What leaves inference: requests, answers, citations, and what a model can refuse with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

Role = Literal["system", "user", "assistant"]


class ModelError(Exception):
    """A model did not answer; the message is safe to show to a tenant's team."""


class ModelUnavailable(ModelError):
    """The model's server cannot be reached, is overloaded or broken: worth a retry or a fallback."""


class ModelTimeout(ModelError):
    """The model did not finish within the time given."""


class ModelRejected(ModelError):
    """The model refused this request (credential, name, size, policy): a retry will not help."""


@dataclass(frozen=True, slots=True)
class ChatTurn:
    """One turn of the conversation so far."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Source:
    """A passage of the tenant's knowledge that an answer may quote; score in 0..1."""

    document_id: UUID
    chunk_id: UUID
    title: str
    heading: str
    text: str
    score: float
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """What a tool found, such as an order; the answer must be built on it."""

    kind: str
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Citation:
    """The source behind a mark [index] in an answer, with the words that were used."""

    index: int
    document_id: UUID
    chunk_id: UUID
    title: str
    quote: str
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One question to a model; the last turn is the customer's.

    `is_grounded`: the model is told to build on facts and sources alone.
    """

    model: str
    turns: tuple[ChatTurn, ...]
    system_prompt: str = ""
    sources: tuple[Source, ...] = ()
    facts: tuple[Fact, ...] = ()
    temperature: float = 0.2
    max_tokens: int = 600
    timeout_s: float = 30.0
    is_grounded: bool = True

    @property
    def question(self) -> str:
        """The customer's last words, or nothing."""
        return next((turn.content for turn in reversed(self.turns) if turn.role == "user"), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatResult:
    """An answer and what it took; `knows` is False when the model says that it cannot tell."""

    text: str
    provider: str
    model: str
    citations: tuple[Citation, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_microusd: int = 0
    finish_reason: str = "stop"
    is_fallback: bool = False
    knows: bool = True

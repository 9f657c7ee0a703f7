"""Errors of the domain that a doorway can tell its caller as they are."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any


class DomainError(Exception):
    """A refusal with an HTTP status, a short title and a sentence that says what to do.

    `members` are further facts for programs, beside the problem's own.
    """

    status = 400
    title = "The request was refused"
    members: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, detail: str, *, errors: dict[str, list[str]] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors or {}


class InvalidInput(DomainError):
    """Wrong values; `errors` maps each field to what is wrong with it."""

    status = 400
    title = "The input is not valid"

    def __init__(self, errors: dict[str, list[str]], detail: str = "") -> None:
        first = next(iter(errors.items()), ("", [""]))
        super().__init__(detail or f"{first[0]}: {first[1][0]}", errors=errors)


class NotAllowed(DomainError):
    status = 403
    title = "Not allowed"


class NotFoundError(DomainError):
    status = 404
    title = "Not found"


class ConflictError(DomainError):
    status = 409
    title = "Conflict"


class QuotaExceeded(DomainError):
    status = 402
    title = "The quota is used up"


class GoneError(DomainError):
    status = 410
    title = "Not kept any more"

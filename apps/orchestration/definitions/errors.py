"""Refusals of this app."""

from apps.orchestration.definitions.contracts import Problem
from apps.resilience.errors import DomainError


class InvalidWorkflowSource(DomainError):
    """A source with problems; each says its line, column and what to write instead."""

    status = 400
    title = "The workflow is not valid"

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        errors: dict[str, list[str]] = {}
        for problem in problems:
            where = f"line {problem.line}, column {problem.column}"
            errors.setdefault(problem.path, []).append(f"{where}: {problem.message}; {problem.fix}")
        super().__init__(f"{next(iter(errors.values()))[0]}", errors=errors)

"""Rubrics of judge steps: checked when a workflow is published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from apps.orchestration.definitions.contracts import Problem
from apps.orchestration.definitions.language.expressions import EvaluationError, evaluate
from apps.orchestration.definitions.language.source import Path, Source
from apps.orchestration.tools.rubrics import CHECKS

# Of the expressions' own engine, whose time grows with the text and no faster: a pattern is anybody's.
MATCHES = "answer.matches(pattern)"


def matches(pattern: str, answer: str) -> bool:
    """Tell whether a pattern is found in a text; raises EvaluationError for what is no pattern."""
    return bool(evaluate(MATCHES, {"answer": answer, "pattern": pattern}))


def check_judge(source: Source, path: Path, step: Mapping[str, Any]) -> Iterator[Problem]:
    """Check that each criterion can be judged, by rules or by the model that is asked."""
    config = step.get("config", {})
    rubric = config.get("rubric", [])
    for index, item in enumerate(rubric if isinstance(rubric, list) else []):
        where: Path = (*path, "config", "rubric", index)
        if not isinstance(item, Mapping):
            continue
        if config.get("by", "rules") == "rules" and not set(item) & set(CHECKS):
            fix = f"add one of: {', '.join(CHECKS)}; or ask a model with by: llm"
            yield source.problem(where, "nothing of this criterion can be checked by rules", fix)
        pattern = item.get("regex")
        if isinstance(pattern, str) and "${" not in pattern:
            try:
                matches(pattern, "")
            except EvaluationError:
                fix = "write a regular expression without look-around and back references"
                yield source.problem((*where, "regex"), "this is no regular expression", fix)
    if "model" in config and config.get("by", "rules") != "llm":
        message, fix = "rules need no model", "remove the line, or write by: llm"
        yield source.problem((*path, "config", "model"), message, fix, at_key=True)

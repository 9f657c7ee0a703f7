"""What a judge step is told: criteria, each with its weight and what is checked of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEFAULT_MIN_SCORE = 0.7
_WORDS: Mapping[str, Any] = {
    "type": ["string", "array"],
    "minLength": 1,
    "maxLength": 500,
    "items": {"type": "string", "minLength": 1, "maxLength": 500},
    "minItems": 1,
    "maxItems": 50,
}
# What can be told without a model.
CHECKS: Mapping[str, Mapping[str, Any]] = {
    "must_contain": _WORDS,
    "must_not_contain": _WORDS,
    "regex": {"type": "string", "minLength": 1, "maxLength": 500},
    "min_length": {"type": "integer", "minimum": 1, "maximum": 100_000},
    "max_length": {"type": "integer", "minimum": 1, "maximum": 100_000},
    "cites_source": {"type": "boolean"},
}
CRITERION: Mapping[str, Any] = {
    "type": "object",
    "required": ["criterion"],
    "additionalProperties": False,
    "properties": {
        "criterion": {"type": "string", "minLength": 1, "maxLength": 500},
        "weight": {"type": "number", "exclusiveMinimum": 0, "maximum": 1000},
        **CHECKS,
    },
}
ARGUMENTS: Mapping[str, Any] = {
    "type": "object",
    "required": ["answer", "rubric"],
    "additionalProperties": False,
    "properties": {
        "answer": {"type": "string", "maxLength": 100_000},
        "question": {"type": "string", "maxLength": 20_000},
        "rubric": {"type": "array", "minItems": 1, "maxItems": 30, "items": CRITERION},
        "by": {"enum": ["rules", "llm"]},
        "model": {"type": "string", "minLength": 1, "maxLength": 200},
        "min_score": {"type": "number", "minimum": 0, "maximum": 1},
    },
}

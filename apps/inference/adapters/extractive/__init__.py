"""Answers without a language model: the tenant's own sentences, each cited, or an honest no."""

from apps.inference.adapters.extractive.answerer import ExtractiveModel

__all__ = ["ExtractiveModel"]

"""Forget a customer everywhere: step by step, resumable, with a signed manifest; see docs/erasure.md."""

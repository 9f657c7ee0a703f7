"""Owns the HTTP doorway: authentication, limits, idempotency, problems; does not own any domain."""

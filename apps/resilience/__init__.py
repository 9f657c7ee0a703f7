"""Owns deadline, retry, breaker, bulkhead, timeout and domain errors; does not own any domain."""

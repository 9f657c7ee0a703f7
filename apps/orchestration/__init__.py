"""Owns workflow runs, sagas and tools; does not own messages or knowledge."""

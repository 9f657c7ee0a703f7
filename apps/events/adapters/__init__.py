"""Vendors of the event path, one per file."""

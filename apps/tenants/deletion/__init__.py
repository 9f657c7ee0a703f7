"""Delete a company after a time in which it can change its mind; see docs/deletion.md."""

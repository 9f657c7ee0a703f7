"""Owns workflow definitions and their published versions; does not own runs."""

"""One archive of everything that belongs to a company; docs/export.md describes its format."""

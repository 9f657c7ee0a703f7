"""Owns a company's own domains: claimed, proven, proven again, and lost when they no longer are."""

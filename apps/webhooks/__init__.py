"""Owns what is told to tenants' systems: endpoints, signed deliveries, attempts; does not own the facts."""

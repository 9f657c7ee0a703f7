"""Owns plans, usage, quotas and invoices; does not own what is metered."""

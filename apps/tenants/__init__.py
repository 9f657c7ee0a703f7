"""Owns tenants, users, members, API keys and the tenant context; does not own plans or usage."""

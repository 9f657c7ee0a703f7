"""Forget a customer in events."""

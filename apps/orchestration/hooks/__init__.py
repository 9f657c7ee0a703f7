"""Owns the endpoints of signed webhooks and the log of their deliveries; does not own runs or messages."""

"""Owns customers, orders and leads; does not own conversations."""

"""Owns the socket protocol, sessions and backpressure; does not own messages."""

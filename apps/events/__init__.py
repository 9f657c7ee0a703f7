"""Owns the outbox, the relay to JetStream, inboxes and dead letters; does not own what an event means."""

"""Adapters: the broker, the Channels layer, and the doorway for conversations."""

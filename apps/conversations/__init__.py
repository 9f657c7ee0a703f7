"""Owns channels, conversations, messages and the human inbox; does not own how a reply is made."""

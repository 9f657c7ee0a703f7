"""Owns what proves a person: whether their address is theirs, and their second factors; not their set-up."""

"""Owns documents, chunks, vectors and retrieval; does not own answers."""

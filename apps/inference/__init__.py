"""Owns chat and embedding providers, prices and token counts; does not own prompts or documents."""

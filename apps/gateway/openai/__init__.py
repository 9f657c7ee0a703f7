"""The OpenAI-compatible doorway: a published workflow is a model, a conversation is its memory."""

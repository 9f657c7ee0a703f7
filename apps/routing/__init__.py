"""Owns intents, the classifier and route decisions; does not own what is done with a decision."""

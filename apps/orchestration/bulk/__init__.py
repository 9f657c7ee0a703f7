"""Steering many runs at once, in the background, behind a cursor."""

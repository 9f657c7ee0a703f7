"""Owns sign-up: the wish for a company, its making and the first steps in it; not who belongs to what."""

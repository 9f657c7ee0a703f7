"""Owns the archive of events and the read models folded from it; never changes what they tell of."""

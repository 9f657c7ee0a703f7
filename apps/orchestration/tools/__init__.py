"""Tools that workflows use: what each takes, gives and promises, and what it does."""

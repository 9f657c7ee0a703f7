"""Dry runs and simulations: what a workflow would do, with every effect intercepted."""

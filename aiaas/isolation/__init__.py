"""Attacks one tenant with another's credentials, everywhere; `manage.py prove_isolation` runs it.

Targets come from the product's own registries (models, catalog, routes, tasks, subscriptions, sockets), so
what is built later is attacked as well; what a registry holds and no attack reaches counts as a failure.
"""

"""The project: settings, routes, process entry points and the table of subscriptions."""

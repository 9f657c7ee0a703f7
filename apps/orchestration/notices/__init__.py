"""Owns what Slack is told of escalations; does not own escalations or the mails about them."""

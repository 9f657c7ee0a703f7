"""What becomes of notices when a customer is forgotten."""

RULES = {"notices.SlackNotice": "kept: that somebody was called, without a word of who asked"}

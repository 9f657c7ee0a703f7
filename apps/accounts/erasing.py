"""What becomes of this app's rows when a customer is forgotten."""

RULES = {"accounts.SignUp": "kept: how the company came to be"}

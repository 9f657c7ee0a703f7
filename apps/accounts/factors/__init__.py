"""Second factors and passkeys: their secrets, forms and pages."""

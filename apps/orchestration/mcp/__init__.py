"""Owns tenants' MCP servers and what of their tools is approved; does not own steps that call them."""

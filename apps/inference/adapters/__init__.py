"""Models behind the ports: one vendor or model for each module."""

"""The product's apps, one folder per domain; docs/architecture.md says who may import whom."""

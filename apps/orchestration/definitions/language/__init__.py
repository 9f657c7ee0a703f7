"""The workflow language: YAML source -> problems, or a compiled definition."""

"""What is measured, each runnable by `manage.py bench NAME`."""

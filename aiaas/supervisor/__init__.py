"""`manage.py up`: starts everything on one machine, keeps it running, stops it in order."""

"""The database engine: PostgreSQL through django-tenants, with the context set per transaction."""

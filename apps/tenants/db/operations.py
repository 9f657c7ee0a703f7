"""Point Django at the guarded compilers."""

from django.db.backends.postgresql.operations import DatabaseOperations as PostgresOperations


class DatabaseOperations(PostgresOperations):
    compiler_module = "apps.tenants.db.compiler"

"""The database's roles and the expression that every policy compares with."""

APP_ROLE = "aiaas_app"
PLATFORM_ROLE = "aiaas_platform"
OWNER_ROLE = "aiaas_owner"
POLICY = "tenant_isolation"

# The sub-select makes PostgreSQL evaluate the setting once a query, not once a row;
# nullif because a setting that was local to an earlier transaction reads as ''.
CURRENT_TENANT = "(select nullif(current_setting('app.current_tenant_id', true), '')::uuid)"


def protect_sql(table: str, column: str = "tenant_id") -> list[str]:
    """Return the statements that bind a table's rows to the current tenant."""
    condition = f'"{column}" = {CURRENT_TENANT}'
    return [
        f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY',
        f'CREATE POLICY {POLICY} ON "{table}" TO {APP_ROLE} USING ({condition}) WITH CHECK ({condition})',
    ]

from django.db import migrations

SIGNATURE = "resolve_memberships(uuid)"
COLUMNS = "tenant_id uuid, slug text, schema_name text, status text, tenant_name text, role text"


def resolver(column: str, value: str) -> str:
    return f"""
    DROP FUNCTION {SIGNATURE};
    CREATE FUNCTION resolve_memberships(wanted uuid) RETURNS TABLE ({COLUMNS}{column})
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
      SELECT t.id, t.slug::text, t.schema_name::text, t.status::text, t.name::text, m.role::text{value}
      FROM tenants_membership m JOIN tenants_tenant t ON t.id = m.tenant_id
      JOIN tenants_user u ON u.id = m.user_id AND u.is_active
      WHERE m.user_id = wanted ORDER BY t.name
    $$;
    REVOKE ALL ON FUNCTION {SIGNATURE} FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION {SIGNATURE} TO aiaas_app, aiaas_platform;
    """


# Whoever the platform or an invitation made before addresses were proved is vouched for.
VOUCHED = """
INSERT INTO account_emailaddress (user_id, email, verified, "primary")
SELECT u.id, u.email, true, true FROM tenants_user u
WHERE NOT EXISTS (SELECT FROM account_emailaddress a WHERE a.user_id = u.id)
ON CONFLICT DO NOTHING;
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0010_sealed_secrets"), ("account", "0009_emailaddress_unique_primary_email")]

    operations = [
        migrations.RunSQL(
            resolver(", requires_mfa boolean", ", coalesce((t.config->>'requires_mfa')::boolean, false)"),
            resolver("", ""),
        ),
        migrations.RunSQL(VOUCHED, migrations.RunSQL.noop),
    ]

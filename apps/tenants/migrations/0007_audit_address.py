from django.db import migrations, models

STAFF_ACTS = """
GRANT SELECT ON tenants_auditevent TO aiaas_platform;
CREATE POLICY platform_access ON tenants_auditevent TO aiaas_platform USING (actor LIKE 'staff:%');
"""
COLUMNS = "tenant_id uuid, slug text, schema_name text, status text, tenant_name text, role text"


def resolver(also: str) -> str:
    return f"""
    CREATE OR REPLACE FUNCTION resolve_memberships(wanted uuid) RETURNS TABLE ({COLUMNS})
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
      SELECT t.id, t.slug::text, t.schema_name::text, t.status::text, t.name::text, m.role::text
      FROM tenants_membership m JOIN tenants_tenant t ON t.id = m.tenant_id {also}
      WHERE m.user_id = wanted ORDER BY t.name
    $$;
    """


class Migration(migrations.Migration):
    dependencies = [("tenants", "0006_escalation_mail")]

    operations = [
        migrations.AddField("auditevent", "address", models.GenericIPAddressField(blank=True, null=True)),
        migrations.AddIndex(
            "auditevent",
            models.Index(
                fields=["-id"], condition=models.Q(actor__startswith="staff:"), name="audit_of_staff"
            ),
        ),
        # The staff's admin lists what staff did to companies, and nothing that a company did itself.
        migrations.RunSQL(STAFF_ACTS, "DROP POLICY platform_access ON tenants_auditevent"),
        # Who was deactivated belongs to no company, by whatever credential they come.
        migrations.RunSQL(
            resolver("JOIN tenants_user u ON u.id = m.user_id AND u.is_active"), resolver("")
        ),
    ]

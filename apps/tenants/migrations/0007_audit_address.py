from django.db import migrations, models

from apps.tenants.orm import AllowPlatform

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
        AllowPlatform("tenants_auditevent", "SELECT"),
        # Who was deactivated belongs to no company, by whatever credential they come.
        migrations.RunSQL(
            resolver("JOIN tenants_user u ON u.id = m.user_id AND u.is_active"), resolver("")
        ),
    ]

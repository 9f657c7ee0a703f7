import django.db.models.deletion
import uuid_utils.compat
from django.db import migrations, models

RESOLVER = """
CREATE FUNCTION resolve_invitation(wanted text) RETURNS TABLE (
  id uuid, tenant_id uuid, slug text, schema_name text, tenant_name text, email text, role text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT i.id, t.id, t.slug::text, t.schema_name::text, t.name::text, i.email::text, i.role::text
  FROM tenants_invitation i JOIN tenants_tenant t ON t.id = i.tenant_id
  WHERE i.token_hash = wanted AND i.accepted_at IS NULL AND i.revoked_at IS NULL AND i.expires_at > now()
    AND t.status = 'active'
$$;
REVOKE ALL ON FUNCTION resolve_invitation(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION resolve_invitation(text) TO aiaas_app;
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0004_staff_access")]

    operations = [
        migrations.AddField("widgetkey", "embedded_at", models.DateTimeField(blank=True, null=True)),
        migrations.CreateModel(
            name="Invitation",
            fields=[
                ("id", models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ("email", models.EmailField(max_length=254)),
                ("role", models.CharField(choices=[("owner", "owner"), ("admin", "admin"), ("agent", "agent"), ("analyst", "analyst"), ("viewer", "viewer")], max_length=20)),
                ("token_hash", models.CharField(editable=False, max_length=64, unique=True)),
                ("invited_by", models.CharField(max_length=100)),
                ("expires_at", models.DateTimeField()),
                ("accepted_at", models.DateTimeField(blank=True, null=True)),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("tenant", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.tenant")),
            ],
        ),
        migrations.RunSQL(RESOLVER, "DROP FUNCTION resolve_invitation(text)"),
    ]

import apps.tenants.orm
import uuid_utils.compat
from django.db import migrations, models

from apps.tenants.orm import AllowPlatform

RESOLVER = """
CREATE FUNCTION resolve_token_family(wanted uuid) RETURNS TABLE (
  user_id uuid, tenant_id uuid, slug text, schema_name text, status text, role text,
  has_shown_mfa boolean, lacks_mfa boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT s.user_id, s.tenant_id, s.slug, s.schema_name, s.status, s.role, f.has_shown_mfa,
    coalesce((t.config->>'requires_mfa')::boolean, false) AND NOT (f.has_shown_mfa AND EXISTS (
      SELECT FROM mfa_authenticator a WHERE a.user_id = f.user_id AND a.type IN ('totp', 'webauthn')))
  FROM gateway_tokenfamily f JOIN tenants_tenant t ON t.id = f.tenant_id
  CROSS JOIN LATERAL resolve_standings(ARRAY[f.user_id], ARRAY[f.tenant_id]) s
  WHERE f.id = wanted AND f.revoked_at IS NULL AND f.expires_at > now()
    AND s.membership_id = f.membership_id AND s.password_stamp = f.password_stamp
$$;
REVOKE ALL ON FUNCTION resolve_token_family(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION resolve_token_family(uuid) TO aiaas_app;
"""


class Migration(migrations.Migration):
    dependencies = [("gateway", "0002_platform_purges"), ("tenants", "0012_standings"), ("mfa", "0003_authenticator_type_uniq")]

    operations = [
        migrations.CreateModel(
            name="SigningKey",
            fields=[
                ("kid", models.CharField(editable=False, max_length=32, primary_key=True, serialize=False)),
                ("private_key", apps.tenants.orm.SealedTextField(editable=False)),
                ("public_key", models.TextField(editable=False)),
                ("activates_at", models.DateTimeField()),
                ("retires_at", models.DateTimeField(blank=True, null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.CreateModel(
            name="TokenFamily",
            fields=[
                ("id", models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ("tenant_id", models.UUIDField(db_default=apps.tenants.orm.CurrentTenant(), editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("user_id", models.UUIDField()),
                ("membership_id", models.UUIDField()),
                ("password_stamp", models.CharField(max_length=64)),
                ("has_shown_mfa", models.BooleanField(default=False)),
                ("generation", models.PositiveIntegerField(default=0)),
                ("renewed_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={"indexes": [models.Index(fields=["expires_at"], name="token_families_by_end")]},
        ),
        AllowPlatform("gateway_tokenfamily", "SELECT, DELETE"),
        migrations.RunSQL(RESOLVER, "DROP FUNCTION resolve_token_family(uuid)"),
    ]

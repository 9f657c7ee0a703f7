from django.db import migrations, models

DROP = "DROP FUNCTION resolve_widget_key(text);"
GRANT = """
REVOKE ALL ON FUNCTION resolve_widget_key(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION resolve_widget_key(text) TO aiaas_app, aiaas_platform;
"""
RESOLVER = """
CREATE FUNCTION resolve_widget_key(wanted text) RETURNS TABLE (
  key text, allowed_origins jsonb, identity_secret text, previous_secret text, settings jsonb, version integer,
  time_zone text, tenant_id uuid, slug text, schema_name text, status text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT w.key::text, w.allowed_origins, w.identity_secret,
         CASE WHEN w.previous_secret_ends_at > now() THEN w.previous_secret ELSE '' END,
         w.settings, w.version, t.time_zone::text, t.id, t.slug::text, t.schema_name::text, t.status::text
  FROM tenants_widgetkey w JOIN tenants_tenant t ON t.id = w.tenant_id WHERE w.key = wanted AND w.is_active
$$;
"""
RESOLVER_BEFORE = """
CREATE FUNCTION resolve_widget_key(wanted text) RETURNS TABLE (
  key text, allowed_origins jsonb, identity_secret text, tenant_id uuid, slug text, schema_name text, status text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT w.key::text, w.allowed_origins, w.identity_secret, t.id, t.slug::text, t.schema_name::text, t.status::text
  FROM tenants_widgetkey w JOIN tenants_tenant t ON t.id = w.tenant_id WHERE w.key = wanted AND w.is_active
$$;
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0007_audit_address")]

    operations = [
        migrations.AddField("widgetkey", "name", models.CharField(default="Website", max_length=100)),
        migrations.AddField("widgetkey", "settings", models.JSONField(blank=True, default=dict)),
        migrations.AddField("widgetkey", "version", models.PositiveIntegerField(default=0)),
        migrations.AddField("widgetkey", "changed_by", models.CharField(blank=True, default="", max_length=100), preserve_default=False),
        migrations.AddField("widgetkey", "secret_version", models.PositiveIntegerField(default=0)),
        migrations.AddField("widgetkey", "secret_shown_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddField("widgetkey", "previous_secret", models.TextField(blank=True, default="", editable=False), preserve_default=False),
        migrations.AddField("widgetkey", "previous_secret_ends_at", models.DateTimeField(blank=True, null=True)),
        migrations.RunSQL(DROP + RESOLVER + GRANT, DROP + RESOLVER_BEFORE + GRANT),
    ]

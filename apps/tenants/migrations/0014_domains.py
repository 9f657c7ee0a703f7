"""A company's own domains. Nothing has used the table before."""

import django.db.models.deletion
from django.db import migrations, models
from uuid_utils.compat import uuid7

from apps.tenants.orm import AllowPlatform

RESOLVE_DOMAIN = """
CREATE FUNCTION resolve_domain(wanted text) RETURNS TABLE (tenant_id uuid, slug text, schema_name text, status text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT t.id, t.slug::text, t.schema_name::text, t.status::text
  FROM tenants_domain d JOIN tenants_tenant t ON t.id = d.tenant_id
  WHERE d.name = wanted AND d.verified_at IS NOT NULL AND t.status <> 'deleted'
$$;
REVOKE ALL ON FUNCTION resolve_domain(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION resolve_domain(text) TO aiaas_app;
"""
# Where a widget names its sites, the company's proven domains are among them.
SITES = """CASE WHEN w.allowed_origins = '[]'::jsonb THEN w.allowed_origins ELSE w.allowed_origins || coalesce((
               SELECT jsonb_agg('https://' || d.name) FROM tenants_domain d
               WHERE d.tenant_id = w.tenant_id AND d.verified_at IS NOT NULL), '[]'::jsonb) END"""


def widget_resolvers(origins: str) -> str:
    return f"""
CREATE OR REPLACE FUNCTION resolve_widget_key(wanted text) RETURNS TABLE (
  key text, allowed_origins jsonb, identity_secret text, previous_secret text, secret_version integer, settings jsonb,
  version integer, time_zone text, tenant_id uuid, slug text, schema_name text, status text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT w.key::text, {origins}, w.identity_secret,
         CASE WHEN w.previous_secret_ends_at > now() THEN w.previous_secret ELSE '' END, w.secret_version,
         w.settings, w.version, t.time_zone::text, t.id, t.slug::text, t.schema_name::text, t.status::text
  FROM tenants_widgetkey w JOIN tenants_tenant t ON t.id = w.tenant_id WHERE w.key = wanted AND w.is_active
$$;
CREATE OR REPLACE FUNCTION resolve_widget_standings(wanted text[]) RETURNS TABLE (
  key text, allowed_origins jsonb, secret_version integer, previous_secret_signs boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT w.key::text, {origins}, w.secret_version, coalesce(w.previous_secret_ends_at > now(), false)
  FROM tenants_widgetkey w WHERE w.key = ANY (wanted) AND w.is_active
$$;
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0013_audit_search")]

    operations = [
        migrations.DeleteModel("Domain"),
        migrations.CreateModel(
            name="Domain",
            fields=[
                ("id", models.UUIDField(default=uuid7, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=253)),
                ("token", models.CharField(max_length=64)),
                ("added_by", models.CharField(blank=True, max_length=100)),
                ("verified_at", models.DateTimeField(blank=True, null=True)),
                ("checked_at", models.DateTimeField(blank=True, null=True)),
                ("due_at", models.DateTimeField(blank=True, null=True)),
                ("failing_since", models.DateTimeField(blank=True, null=True)),
                ("problem", models.CharField(blank=True, max_length=300)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("tenant", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.tenant")),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "name"), name="one_claim_per_domain"),
                    models.UniqueConstraint(condition=models.Q(("verified_at__isnull", False)), fields=("name",), name="one_owner_per_domain"),
                ],
                "indexes": [
                    models.Index(condition=models.Q(("verified_at__isnull", False)), fields=["due_at"], name="domain_due"),
                ],
            },
        ),
        AllowPlatform("tenants_domain", "SELECT"),
        migrations.RunSQL(RESOLVE_DOMAIN, "DROP FUNCTION resolve_domain(text)"),
        migrations.RunSQL(widget_resolvers(SITES), widget_resolvers("w.allowed_origins")),
    ]

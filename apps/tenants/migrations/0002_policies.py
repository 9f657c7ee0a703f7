from django.db import migrations

from apps.tenants.orm import AppendOnly, ProtectRows

# What must be found before a tenant is known: each function answers one narrow question as the
# owner, with a fixed search_path, and only the roles named here may ask it.
RESOLVERS = """
CREATE FUNCTION resolve_tenant(wanted text) RETURNS TABLE (id uuid, slug text, schema_name text, status text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT t.id, t.slug::text, t.schema_name::text, t.status::text FROM tenants_tenant t
  WHERE t.slug = wanted OR t.id::text = wanted
$$;

CREATE FUNCTION resolve_api_key(wanted text) RETURNS TABLE (
  key_id text, name text, secret_hash text, scopes jsonb, rate_limits jsonb, expires_at timestamptz,
  revoked_at timestamptz, tenant_id uuid, slug text, schema_name text, status text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT k.key_id::text, k.name::text, k.secret_hash::text, k.scopes, k.rate_limits, k.expires_at,
         k.revoked_at, t.id, t.slug::text, t.schema_name::text, t.status::text
  FROM tenants_apikey k JOIN tenants_tenant t ON t.id = k.tenant_id WHERE k.key_id = wanted
$$;

CREATE FUNCTION resolve_widget_key(wanted text) RETURNS TABLE (
  key text, allowed_origins jsonb, identity_secret text, tenant_id uuid, slug text, schema_name text, status text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT w.key::text, w.allowed_origins, w.identity_secret, t.id, t.slug::text, t.schema_name::text, t.status::text
  FROM tenants_widgetkey w JOIN tenants_tenant t ON t.id = w.tenant_id WHERE w.key = wanted AND w.is_active
$$;

CREATE FUNCTION resolve_memberships(wanted uuid) RETURNS TABLE (
  tenant_id uuid, slug text, schema_name text, status text, tenant_name text, role text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT t.id, t.slug::text, t.schema_name::text, t.status::text, t.name::text, m.role::text
  FROM tenants_membership m JOIN tenants_tenant t ON t.id = m.tenant_id
  WHERE m.user_id = wanted ORDER BY t.name
$$;
"""
SIGNATURES = ["resolve_tenant(text)", "resolve_api_key(text)", "resolve_widget_key(text)", "resolve_memberships(uuid)"]
GRANTS = ";\n".join(
    f"REVOKE ALL ON FUNCTION {f} FROM PUBLIC; GRANT EXECUTE ON FUNCTION {f} TO aiaas_app, aiaas_platform"
    for f in SIGNATURES
)
DROPS = ";\n".join(f"DROP FUNCTION {f}" for f in SIGNATURES)


class Migration(migrations.Migration):
    dependencies = [("tenants", "0001_initial")]

    operations = [
        ProtectRows("tenants_tenant", "id"),
        AppendOnly("tenants_auditevent"),
        migrations.RunSQL(RESOLVERS, DROPS),
        migrations.RunSQL(GRANTS, migrations.RunSQL.noop),
    ]

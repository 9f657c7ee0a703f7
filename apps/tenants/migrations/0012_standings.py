from django.db import migrations, models

# What a process asks about many at once, of several tenants: whether those who are connected, or hold a token,
# still stand where they stood.
STANDINGS = """
CREATE FUNCTION resolve_standings(users uuid[], tenants uuid[]) RETURNS TABLE (
  user_id uuid, tenant_id uuid, slug text, schema_name text, status text, membership_id uuid, role text,
  password_stamp text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT u.id, t.id, t.slug::text, t.schema_name::text, t.status::text, m.id, m.role::text,
         encode(sha256(convert_to(u.password, 'UTF8')), 'hex')
  FROM unnest(users, tenants) AS asked (user_id, tenant_id)
  JOIN tenants_user u ON u.id = asked.user_id AND u.is_active
  JOIN tenants_membership m ON m.user_id = u.id AND m.tenant_id = asked.tenant_id
  JOIN tenants_tenant t ON t.id = m.tenant_id
$$;
CREATE FUNCTION resolve_widget_standings(wanted text[]) RETURNS TABLE (
  key text, allowed_origins jsonb, secret_version integer, previous_secret_signs boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT w.key::text, w.allowed_origins, w.secret_version, coalesce(w.previous_secret_ends_at > now(), false)
  FROM tenants_widgetkey w WHERE w.key = ANY (wanted) AND w.is_active
$$;
CREATE FUNCTION note_api_key_uses(used text[]) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  UPDATE tenants_apikey k SET last_used_at = statement_timestamp() FROM (
    SELECT key_id FROM tenants_apikey
    WHERE key_id = ANY (used) AND (last_used_at IS NULL OR last_used_at < statement_timestamp() - interval '1 minute')
    ORDER BY key_id FOR UPDATE
  ) AS stale WHERE k.key_id = stale.key_id
$$;
"""
DROP_WIDGET = "DROP FUNCTION resolve_widget_key(text);"
GRANT_WIDGET = """
REVOKE ALL ON FUNCTION resolve_widget_key(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION resolve_widget_key(text) TO aiaas_app, aiaas_platform;
"""


def widget_resolver(column: str, value: str) -> str:
    return f"""
    CREATE FUNCTION resolve_widget_key(wanted text) RETURNS TABLE (
      key text, allowed_origins jsonb, identity_secret text, previous_secret text, {column} settings jsonb,
      version integer, time_zone text, tenant_id uuid, slug text, schema_name text, status text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
      SELECT w.key::text, w.allowed_origins, w.identity_secret,
             CASE WHEN w.previous_secret_ends_at > now() THEN w.previous_secret ELSE '' END, {value}
             w.settings, w.version, t.time_zone::text, t.id, t.slug::text, t.schema_name::text, t.status::text
      FROM tenants_widgetkey w JOIN tenants_tenant t ON t.id = w.tenant_id WHERE w.key = wanted AND w.is_active
    $$;
    """


SIGNATURES = [
    "resolve_standings(uuid[], uuid[])",
    "resolve_widget_standings(text[])",
    "note_api_key_uses(text[])",
]
GRANTS = ";\n".join(
    f"REVOKE ALL ON FUNCTION {f} FROM PUBLIC; GRANT EXECUTE ON FUNCTION {f} TO aiaas_app" for f in SIGNATURES
)
DROPS = ";\n".join(f"DROP FUNCTION {f}" for f in SIGNATURES)


class Migration(migrations.Migration):
    dependencies = [("tenants", "0011_requires_mfa")]

    operations = [
        migrations.AddField("apikey", "last_used_at", models.DateTimeField(blank=True, editable=False, null=True)),
        migrations.AddField("apikey", "made_by", models.CharField(blank=True, default="", editable=False, max_length=100), preserve_default=False),
        migrations.RunSQL(STANDINGS, DROPS),
        migrations.RunSQL(GRANTS, migrations.RunSQL.noop),
        # Which of its secrets has signed a customer's token tells whether their socket may stay.
        migrations.RunSQL(
            DROP_WIDGET + widget_resolver("secret_version integer,", "w.secret_version,") + GRANT_WIDGET,
            DROP_WIDGET + widget_resolver("", "") + GRANT_WIDGET,
        ),
    ]

from django.db import migrations, models

# The words of an act, with the tenant among them: so one index serves the search of each tenant alone.
SEARCH = """
CREATE FUNCTION audit_words(tenant_id uuid, actor text, action text, target text, data jsonb) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog AS $$
  SELECT to_tsvector('pg_catalog.simple',
           regexp_replace(lower(concat_ws(' ', actor, action, target, data::text)), '[^[:alnum:]]+', ' ', 'g'))
         || array_to_tsvector(ARRAY['tenant=' || tenant_id::text])
$$;
CREATE INDEX audit_by_words ON tenants_auditevent USING gin (audit_words(tenant_id, actor, action, target, data));

CREATE FUNCTION search_audit(wanted text) RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  tenant uuid := nullif(current_setting('app.current_tenant_id', true), '')::uuid;
  words text;
BEGIN
  SELECT string_agg(quote_literal(word) || ':*', ' & ') INTO words
  FROM (SELECT word FROM regexp_split_to_table(lower(left(wanted, 200)), '[^[:alnum:]]+') word WHERE word <> '' LIMIT 10) w;
  IF tenant IS NULL OR words IS NULL THEN
    RETURN;
  END IF;
  RETURN QUERY
    SELECT e.id FROM tenants_auditevent e
    WHERE audit_words(e.tenant_id, e.actor, e.action, e.target, e.data)
          @@ (quote_literal('tenant=' || tenant::text)::tsquery && to_tsquery('pg_catalog.simple', words))
      AND e.tenant_id = tenant
    ORDER BY e.occurred_at DESC, e.id DESC LIMIT 10000;
END
$$;
REVOKE ALL ON FUNCTION search_audit(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION search_audit(text) TO aiaas_app;
"""
NO_SEARCH = """
DROP FUNCTION search_audit(text);
DROP INDEX audit_by_words;
DROP FUNCTION audit_words(uuid, text, text, text, jsonb);
"""
# Whoever is granted too much by mistake still changes nothing: only the owner of the table may delete, which is how
# a tenant that is deleted takes its trail along, and nobody changes a row or empties the table.
APPEND_ONLY = """
CREATE FUNCTION refuse_change_of_audit() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF TG_OP = 'DELETE' AND pg_get_userbyid((SELECT relowner FROM pg_class WHERE oid = TG_RELID)) = current_user THEN
    RETURN OLD;
  END IF;
  RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON tenants_auditevent
  FOR EACH ROW EXECUTE FUNCTION refuse_change_of_audit();
CREATE TRIGGER append_only_as_a_whole BEFORE TRUNCATE ON tenants_auditevent
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_audit();
REVOKE UPDATE, DELETE, TRUNCATE ON tenants_auditevent FROM aiaas_app, aiaas_platform;

-- What is older than it is kept; never less than a year, whatever is asked for.
CREATE FUNCTION purge_audit(kept_days integer, at_most integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
  WITH gone AS (
    DELETE FROM tenants_auditevent WHERE id IN (
      SELECT id FROM tenants_auditevent
      WHERE occurred_at < now() - make_interval(days => greatest(kept_days, 365)) ORDER BY occurred_at LIMIT at_most)
    RETURNING 1)
  SELECT count(*) FROM gone
$$;
REVOKE ALL ON FUNCTION purge_audit(integer, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION purge_audit(integer, integer) TO aiaas_platform;
"""
NOT_APPEND_ONLY = """
DROP FUNCTION purge_audit(integer, integer);
DROP TRIGGER append_only_as_a_whole ON tenants_auditevent;
DROP TRIGGER append_only ON tenants_auditevent;
DROP FUNCTION refuse_change_of_audit();
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0012_standings")]

    operations = [
        migrations.RemoveIndex("auditevent", "audit_by_time"),
        *(
            migrations.AddIndex("auditevent", models.Index(fields=[*fields, "-occurred_at", "-id"], name=name))
            for name, fields in (
                ("audit_by_time", ["tenant"]),
                ("audit_by_actor", ["tenant", "actor"]),
                ("audit_by_action", ["tenant", "action"]),
                ("audit_by_target", ["tenant", "target"]),
            )
        ),
        migrations.AddIndex("auditevent", models.Index(fields=["occurred_at"], name="audit_by_age")),
        migrations.RunSQL(SEARCH, NO_SEARCH),
        migrations.RunSQL(APPEND_ONLY, NOT_APPEND_ONLY),
    ]

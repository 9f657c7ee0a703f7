from django.db import migrations

# The archive is append-only for the application; forgetting a customer takes the reasons of escalations out
# of it, which may be their words, for the current tenant's conversations only.
FORGET = """
CREATE FUNCTION forget_escalation_reasons(wanted uuid[]) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
  WITH changed AS (
    UPDATE analytics_archivedevent SET data = data - 'reason'
    WHERE tenant_id = nullif(current_setting('app.current_tenant_id', true), '')::uuid
      AND conversation_id = ANY(wanted) AND data ? 'reason'
    RETURNING 1
  ) SELECT count(*) FROM changed
$$;
REVOKE ALL ON FUNCTION forget_escalation_reasons(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION forget_escalation_reasons(uuid[]) TO aiaas_app;
"""


class Migration(migrations.Migration):
    dependencies = [("analytics", "0004_days")]

    operations = [migrations.RunSQL(FORGET, "DROP FUNCTION forget_escalation_reasons(uuid[])")]

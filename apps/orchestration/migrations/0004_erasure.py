from django.db import migrations

# A run's history is append-only for the application; forgetting a customer is the one exception, for the
# current tenant's runs only.
ERASE = """
CREATE FUNCTION erase_run_events(wanted uuid[]) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
  WITH gone AS (
    DELETE FROM orchestration_runevent
    WHERE tenant_id = nullif(current_setting('app.current_tenant_id', true), '')::uuid AND run_id = ANY(wanted)
    RETURNING 1
  ) SELECT count(*) FROM gone
$$;
REVOKE ALL ON FUNCTION erase_run_events(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION erase_run_events(uuid[]) TO aiaas_app;
"""


class Migration(migrations.Migration):
    dependencies = [("orchestration", "0003_troubled_runs")]

    operations = [migrations.RunSQL(ERASE, "DROP FUNCTION erase_run_events(uuid[])")]

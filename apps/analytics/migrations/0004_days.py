from django.db import migrations, models

from apps.tenants.db.roles import protect_sql

# Partitioned by month like the buckets that it sums up. Nobody's days are filled here: the zone of a state is
# empty, so that the next settling fills them.
TABLE = """
CREATE TABLE analytics_kpiday (
  tenant_id uuid NOT NULL, generation integer NOT NULL CHECK (generation >= 0), starts_at timestamptz NOT NULL,
  measure varchar(100) NOT NULL, amount bigint NOT NULL,
  PRIMARY KEY (tenant_id, generation, starts_at, measure) INCLUDE (amount)
) PARTITION BY RANGE (starts_at);
CREATE TABLE analytics_kpiday_default PARTITION OF analytics_kpiday DEFAULT;
REVOKE ALL ON analytics_kpiday_default FROM aiaas_app;
CREATE OR REPLACE FUNCTION ensure_analytics_partitions(month date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
  parent text; part text; first date := date_trunc('month', month);
BEGIN
  FOREACH parent IN ARRAY ARRAY['analytics_archivedevent', 'analytics_kpibucket', 'analytics_kpiday'] LOOP
    part := parent || to_char(first, '_YYYY_MM');
    CONTINUE WHEN to_regclass(part) IS NOT NULL;
    BEGIN
      EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                     part, parent, first::timestamptz, (first + interval '1 month')::timestamptz);
      EXECUTE format('REVOKE ALL ON %I FROM aiaas_app', part);
    EXCEPTION
      WHEN check_violation OR duplicate_table THEN NULL;  -- its rows lie in the default partition already
    END;
  END LOOP;
END
$$;
SELECT ensure_analytics_partitions((date_trunc('month', now()) + n * interval '1 month')::date)
FROM generate_series(0, 3) n;
"""


class Migration(migrations.Migration):
    dependencies = [("analytics", "0003_reports_and_people")]

    operations = [
        migrations.AddField(
            model_name="readmodelstate",
            name="time_zone",
            field=models.CharField(blank=True, max_length=64),
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(TABLE, "DROP TABLE analytics_kpiday"),
                migrations.RunSQL(protect_sql("analytics_kpiday"), migrations.RunSQL.noop),
            ],
            state_operations=[
                migrations.CreateModel(
                    name="KpiDay",
                    fields=[
                        ("pk", models.CompositePrimaryKey("tenant_id", "generation", "starts_at", "measure", blank=True, editable=False, primary_key=True, serialize=False)),
                        ("tenant_id", models.UUIDField(editable=False)),
                        ("generation", models.PositiveIntegerField()),
                        ("starts_at", models.DateTimeField()),
                        ("measure", models.CharField(max_length=100)),
                        ("amount", models.BigIntegerField(default=0)),
                    ],
                ),
            ],
        ),
    ]

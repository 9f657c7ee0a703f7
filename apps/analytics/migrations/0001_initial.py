import uuid_utils.compat
import apps.tenants.orm
from django.db import migrations, models

from apps.tenants.db.roles import protect_sql

# Partitioned by month, which Django's CreateModel cannot say. The app role works through the parents,
# whose policies hold; of the partitions themselves it may touch none.
TABLES = """
CREATE TABLE analytics_archivedevent (
  tenant_id uuid NOT NULL, id uuid NOT NULL, type varchar(60) NOT NULL, occurred_at timestamptz NOT NULL,
  stored_at timestamptz NOT NULL, conversation_id uuid NOT NULL, data jsonb NOT NULL,
  PRIMARY KEY (tenant_id, id, occurred_at)
) PARTITION BY RANGE (occurred_at);
CREATE INDEX archive_conversation ON analytics_archivedevent (tenant_id, conversation_id, occurred_at);
CREATE TABLE analytics_kpibucket (
  tenant_id uuid NOT NULL, generation integer NOT NULL CHECK (generation >= 0), starts_at timestamptz NOT NULL,
  measure varchar(100) NOT NULL, amount bigint NOT NULL,
  PRIMARY KEY (tenant_id, generation, starts_at, measure) INCLUDE (amount)
) PARTITION BY RANGE (starts_at);
CREATE TABLE analytics_archivedevent_default PARTITION OF analytics_archivedevent DEFAULT;
CREATE TABLE analytics_kpibucket_default PARTITION OF analytics_kpibucket DEFAULT;
REVOKE ALL ON analytics_archivedevent_default, analytics_kpibucket_default FROM aiaas_app;
REVOKE UPDATE, DELETE, TRUNCATE ON analytics_archivedevent FROM aiaas_app;
CREATE FUNCTION ensure_analytics_partitions(month date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
  parent text; part text; first date := date_trunc('month', month);
BEGIN
  FOREACH parent IN ARRAY ARRAY['analytics_archivedevent', 'analytics_kpibucket'] LOOP
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
REVOKE ALL ON FUNCTION ensure_analytics_partitions(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_analytics_partitions(date) TO aiaas_app;
SELECT ensure_analytics_partitions((date_trunc('month', now()) + n * interval '1 month')::date)
FROM generate_series(0, 3) n;
"""
PROTECTION = [*protect_sql("analytics_archivedevent"), *protect_sql("analytics_kpibucket")]


class Migration(migrations.Migration):
    initial = True
    dependencies = [("tenants", "0002_policies")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(TABLES, "DROP TABLE analytics_archivedevent, analytics_kpibucket"),
                migrations.RunSQL([*PROTECTION], migrations.RunSQL.noop),
            ],
            state_operations=[
                migrations.CreateModel(
                    name="ArchivedEvent",
                    fields=[
                        ("pk", models.CompositePrimaryKey("tenant_id", "id", "occurred_at", blank=True, editable=False, primary_key=True, serialize=False)),
                        ("tenant_id", models.UUIDField(editable=False)),
                        ("id", models.UUIDField(editable=False)),
                        ("type", models.CharField(max_length=60)),
                        ("occurred_at", models.DateTimeField()),
                        ("stored_at", models.DateTimeField()),
                        ("conversation_id", models.UUIDField()),
                        ("data", models.JSONField(default=dict)),
                    ],
                    options={
                        "indexes": [models.Index(fields=["tenant_id", "conversation_id", "occurred_at"], name="archive_conversation")],
                    },
                ),
                migrations.CreateModel(
                    name="KpiBucket",
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

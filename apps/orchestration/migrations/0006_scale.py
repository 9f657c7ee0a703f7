import django.db.models.functions.datetime
from django.db import migrations, models
from django.db.models import Q

import apps.tenants.orm
from apps.tenants.db.roles import protect_sql
from apps.tenants.orm import AppendOnly

# One claim of a tenant at a time: what was counted is still true when its runs are taken. Candidates are found
# through the index, one priority after the other, and some more than are wanted, as others may hold a few.
CLAIM = """
CREATE FUNCTION claim_runs(
  wanted uuid, most integer, cap integer, executor text, lease_s double precision, aging_s double precision
) RETURNS TABLE (is_capped boolean, run orchestration_agentrun)
LANGUAGE plpgsql AS $$
DECLARE
  room integer;
  aging interval := make_interval(secs => aging_s);
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('claim_runs:' || wanted, 0));
  SELECT cap - count(*) INTO room FROM orchestration_agentrun r
  WHERE r.tenant_id = wanted AND r.lease_owner <> '' AND r.due_at > statement_timestamp();
  RETURN QUERY
  WITH candidate AS MATERIALIZED (
    SELECT c.id FROM generate_series(0, 2) p (priority) CROSS JOIN LATERAL (
      SELECT r.id, r.due_at FROM orchestration_agentrun r
      WHERE r.tenant_id = wanted AND r.priority = p.priority AND r.due_at <= statement_timestamp()
      ORDER BY r.due_at LIMIT greatest(least(most, room), 0) * 2 + 4
    ) c
    WHERE room > 0 ORDER BY c.due_at + p.priority * aging LIMIT greatest(least(most, room), 0) * 2 + 4
  ), chosen AS MATERIALIZED (
    SELECT r.id FROM orchestration_agentrun r
    WHERE r.id = ANY (ARRAY(SELECT candidate.id FROM candidate)) AND r.due_at <= statement_timestamp()
    ORDER BY r.due_at + r.priority * aging LIMIT greatest(least(most, room), 0) FOR UPDATE SKIP LOCKED
  ), claimed AS (
    UPDATE orchestration_agentrun r SET
      lease_epoch = r.lease_epoch + 1, claims = r.claims + 1, lease_owner = executor,
      due_at = statement_timestamp() + make_interval(secs => lease_s)
    WHERE r.id = ANY (ARRAY(SELECT chosen.id FROM chosen)) RETURNING r AS run
  )
  SELECT count(*) OVER () >= room, claimed.run FROM claimed;
  IF NOT FOUND AND room <= 0 THEN
    RETURN QUERY SELECT true, NULL::orchestration_agentrun;
  END IF;
END
$$;
REVOKE ALL ON FUNCTION claim_runs(uuid, integer, integer, text, double precision, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION claim_runs(uuid, integer, integer, text, double precision, double precision) TO aiaas_app;
"""
# A run's row is updated again and again while it is short; where there is room, that stays within its page.
STORAGE = """
ALTER TABLE orchestration_agentrun SET (
  fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05,
  autovacuum_analyze_scale_factor = 0.02
)
"""
# The id of a run begins with its moment in milliseconds (UUIDv7), so that a month of runs is a range of ids.
# The app role works through the parent, whose policy holds; of the partitions it may touch none.
PARTITIONS = """
CREATE FUNCTION first_id_of(moment timestamptz) RETURNS uuid LANGUAGE sql STABLE AS $$
  SELECT (lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;
ALTER TABLE orchestration_runevent RENAME TO orchestration_runevent_whole;
CREATE TABLE orchestration_runevent (
  tenant_id uuid NOT NULL, run_id uuid NOT NULL, seq integer NOT NULL CHECK (seq >= 0),
  kind varchar(40) NOT NULL, data jsonb NOT NULL, created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
  PRIMARY KEY (tenant_id, run_id, seq)
) PARTITION BY RANGE (run_id);
CREATE TABLE orchestration_runevent_default PARTITION OF orchestration_runevent DEFAULT;
REVOKE ALL ON orchestration_runevent_default FROM aiaas_app;
CREATE FUNCTION ensure_run_partitions(wanted date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
  first date := date_trunc('month', wanted);
  part text := 'orchestration_runevent' || to_char(first, '_YYYY_MM');
BEGIN
  IF to_regclass(part) IS NOT NULL OR EXISTS (SELECT FROM orchestration_removedhistory r WHERE r.month = first) THEN
    RETURN;
  END IF;
  EXECUTE format('CREATE TABLE %I PARTITION OF orchestration_runevent FOR VALUES FROM (%L) TO (%L)',
                 part, first_id_of(first), first_id_of((first + interval '1 month')::timestamptz));
  EXECUTE format('REVOKE ALL ON %I FROM aiaas_app', part);
EXCEPTION
  WHEN check_violation OR duplicate_table THEN NULL;  -- its rows lie in the default partition already
END
$$;
SELECT ensure_run_partitions(month::date) FROM (
  SELECT generate_series(date_trunc('month', least(min(created_at), now())), now() + interval '3 months', '1 month')
  FROM orchestration_runevent_whole
) months (month);
INSERT INTO orchestration_runevent SELECT tenant_id, run_id, seq, kind, data, created_at
FROM orchestration_runevent_whole;
DROP TABLE orchestration_runevent_whole;
"""
# Removing a month is two steps, each a transaction. Hidden first, its runs cannot be steered any more; so what
# is seen to have ended then stays so, and whoever reads is never kept waiting for the look.
RETENTION = """
CREATE FUNCTION has_open_runs(first date) RETURNS boolean
LANGUAGE sql STABLE SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
  SELECT EXISTS (SELECT FROM orchestration_agentrun
                 WHERE id >= first_id_of(first) AND id < first_id_of((first + interval '1 month')::timestamptz)
                   AND finished_at IS NULL)
$$;
CREATE FUNCTION hide_run_history(wanted date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' SET lock_timeout = '2s' AS $$
DECLARE
  first date := date_trunc('month', wanted);
  part text := 'orchestration_runevent' || to_char(first, '_YYYY_MM');
BEGIN
  IF first + interval '2 months' > now() THEN RAISE EXCEPTION 'the history of % is too young to go', first; END IF;
  IF EXISTS (SELECT FROM orchestration_removedhistory r WHERE r.month = first) THEN RETURN true; END IF;
  IF to_regclass(part) IS NULL OR has_open_runs(first) THEN RETURN false; END IF;
  EXECUTE format('ALTER TABLE orchestration_runevent DETACH PARTITION %I', part);
  INSERT INTO orchestration_removedhistory (month) VALUES (first);
  RETURN true;
END
$$;
CREATE FUNCTION drop_run_history(wanted date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' SET lock_timeout = '2s' AS $$
DECLARE
  first date := date_trunc('month', wanted);
  part text := 'orchestration_runevent' || to_char(first, '_YYYY_MM');
BEGIN
  IF to_regclass(part) IS NULL OR NOT EXISTS (SELECT FROM orchestration_removedhistory r WHERE r.month = first) THEN
    RETURN false;
  END IF;
  IF has_open_runs(first) THEN
    EXECUTE format('ALTER TABLE orchestration_runevent ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                   part, first_id_of(first), first_id_of((first + interval '1 month')::timestamptz));
    DELETE FROM orchestration_removedhistory r WHERE r.month = first;
    RETURN false;
  END IF;
  EXECUTE format('DROP TABLE %I', part);
  DELETE FROM orchestration_runsnapshot
  WHERE run_id >= first_id_of(first) AND run_id < first_id_of((first + interval '1 month')::timestamptz);
  RETURN true;
END
$$;
REVOKE ALL ON FUNCTION ensure_run_partitions(date), hide_run_history(date), drop_run_history(date), has_open_runs(date)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_run_partitions(date), hide_run_history(date), drop_run_history(date) TO aiaas_platform;
REVOKE ALL ON orchestration_removedhistory FROM aiaas_app, aiaas_platform;
GRANT SELECT ON orchestration_removedhistory TO aiaas_app, aiaas_platform;
"""


class Migration(migrations.Migration):
    dependencies = [("orchestration", "0005_waits")]

    operations = [
        migrations.AddField(
            model_name="agentrun",
            name="priority",
            field=models.PositiveSmallIntegerField(
                choices=[(0, "high"), (1, "normal"), (2, "low")], db_default=1, default=1
            ),
        ),
        migrations.RemoveIndex(model_name="agentrun", name="run_due"),
        migrations.AddIndex(
            model_name="agentrun",
            index=models.Index(
                condition=Q(("due_at__isnull", False)), fields=["tenant_id", "priority", "due_at"], name="run_due"
            ),
        ),
        migrations.AddIndex(
            model_name="agentrun",
            index=models.Index(
                condition=Q(("lease_owner", ""), _negated=True), fields=["tenant_id", "due_at"], name="run_leased"
            ),
        ),
        migrations.AddIndex(
            model_name="agentrun",
            index=models.Index(
                fields=["tenant_id", "workflow_name", "-created_at", "-id"], name="run_newest_of_workflow"
            ),
        ),
        migrations.AddIndex(
            model_name="agentrun",
            index=models.Index(
                condition=Q(("status", "completed"), _negated=True),
                fields=["tenant_id", "status", "-created_at", "-id"],
                name="run_newest_in_state",
            ),
        ),
        migrations.CreateModel(
            name="RunSnapshot",
            fields=[
                ("run_id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("tenant_id", models.UUIDField(db_default=apps.tenants.orm.CurrentTenant(), editable=False)),
                ("seq", models.PositiveIntegerField()),
                ("layout", models.CharField(max_length=64)),
                ("state", models.JSONField()),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.CreateModel(
            name="RemovedHistory",
            fields=[
                ("month", models.DateField(primary_key=True, serialize=False)),
                ("removed_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.RunSQL(STORAGE, "ALTER TABLE orchestration_agentrun RESET (fillfactor)"),
        migrations.RunSQL(CLAIM, migrations.RunSQL.noop),
        migrations.RunSQL(PARTITIONS, migrations.RunSQL.noop),
        migrations.RunSQL(protect_sql("orchestration_runevent"), migrations.RunSQL.noop),
        AppendOnly("orchestration_runevent"),
        migrations.RunSQL(RETENTION, migrations.RunSQL.noop),
    ]

from django.db import migrations

ADMITTED = {
    "events_outboxevent": "SELECT, UPDATE, DELETE",
    "events_deadletter": "SELECT, INSERT, UPDATE",
    "events_inboxentry": "SELECT, DELETE",
}
# These two hold no tenant's data: the leases of the relays and the births of the streams.
UNOWNED = ["events_outboxshard", "events_streamincarnation"]


def admit(table: str, privileges: str) -> str:
    return (
        f"GRANT {privileges} ON {table} TO aiaas_platform;"
        f"CREATE POLICY platform_access ON {table} TO aiaas_platform USING (true) WITH CHECK (true)"
    )


class Migration(migrations.Migration):
    dependencies = [("events", "0001_initial")]

    operations = [
        *[migrations.RunSQL(admit(table, privileges), migrations.RunSQL.noop) for table, privileges in ADMITTED.items()],
        *[
            migrations.RunSQL(
                f"REVOKE ALL ON {table} FROM aiaas_app; GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO aiaas_platform",
                migrations.RunSQL.noop,
            )
            for table in UNOWNED
        ],
        migrations.RunSQL(
            "INSERT INTO events_outboxshard (shard, holder) SELECT n, '' FROM generate_series(0, 15) n",
            "DELETE FROM events_outboxshard",
        ),
    ]

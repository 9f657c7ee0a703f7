from django.db import migrations

# The staff's log is kept as the trail of companies is (0013): only the table's owner deletes, with a person.
APPEND_ONLY = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON django_admin_log
  FOR EACH ROW EXECUTE FUNCTION refuse_change_of_audit();
CREATE TRIGGER append_only_as_a_whole BEFORE TRUNCATE ON django_admin_log
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_audit();
REVOKE UPDATE, DELETE, TRUNCATE ON django_admin_log FROM aiaas_app, aiaas_platform;
"""
NOT_APPEND_ONLY = """
DROP TRIGGER append_only_as_a_whole ON django_admin_log;
DROP TRIGGER append_only ON django_admin_log;
GRANT UPDATE, DELETE ON django_admin_log TO aiaas_app;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0014_domains"),
        ("admin", "0003_logentry_add_action_flag_choices"),
    ]

    operations = [migrations.RunSQL(APPEND_ONLY, NOT_APPEND_ONLY)]

from django.db import migrations

from apps.tenants.orm import AllowPlatform


class Migration(migrations.Migration):
    dependencies = [("tenants", "0003_list_active")]

    operations = [
        # The staff's admin lists tenants and who belongs to them; it changes neither through this role.
        AllowPlatform("tenants_tenant", "SELECT"),
        AllowPlatform("tenants_membership", "SELECT"),
        migrations.RunSQL(
            "GRANT SELECT (id, email, name, is_active) ON tenants_user TO aiaas_platform", migrations.RunSQL.noop
        ),
    ]

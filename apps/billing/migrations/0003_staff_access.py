from django.db import migrations

from apps.tenants.orm import AllowPlatform


class Migration(migrations.Migration):
    dependencies = [("billing", "0002_plans")]

    operations = [
        AllowPlatform("billing_subscription", "SELECT"),
        migrations.RunSQL("GRANT SELECT ON billing_plan TO aiaas_platform", migrations.RunSQL.noop),
    ]

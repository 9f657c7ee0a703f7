from django.db import migrations

from apps.tenants.orm import AllowPlatform, AppendOnly


class Migration(migrations.Migration):
    dependencies = [("orchestration", "0001_initial")]

    operations = [
        # The sweep finds due runs of all tenants and the keeper renews their leases.
        AllowPlatform("orchestration_agentrun", "SELECT, UPDATE"),
        AppendOnly("orchestration_runevent"),
    ]

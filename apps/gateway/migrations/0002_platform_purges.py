"""The platform forgets old answers of every tenant."""

from django.db import migrations

from apps.tenants.orm import AllowPlatform


class Migration(migrations.Migration):
    dependencies = [("gateway", "0001_initial")]

    operations = [AllowPlatform("gateway_idempotencyrecord", "SELECT, DELETE")]

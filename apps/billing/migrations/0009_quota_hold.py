import uuid_utils.compat
from django.db import migrations, models

import apps.tenants.orm


class Migration(migrations.Migration):
    dependencies = [("billing", "0008_trial")]

    operations = [
        migrations.CreateModel(
            name="QuotaHold",
            fields=[
                ("id", models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ("tenant_id", models.UUIDField(db_default=apps.tenants.orm.CurrentTenant(), editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("kind", models.CharField(max_length=40)),
                ("source_id", models.CharField(max_length=200)),
                ("units", models.PositiveIntegerField()),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("tenant_id", "kind", "source_id"), name="one_hold_per_source")],
            },
        ),
    ]

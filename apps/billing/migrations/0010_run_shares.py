"""How many runs a plan's tenants have at a time, and their part of busy workers."""

from django.db import migrations, models
from django.db.models import Q

SHARES = {"starter": (10, 1), "trial": (20, 2), "business": (20, 2), "enterprise": (100, 4)}


def set_shares(apps, schema_editor):
    plans = apps.get_model("billing", "Plan").objects.using(schema_editor.connection.alias)
    for code, (most, weight) in SHARES.items():
        plans.filter(code=code).update(max_concurrent_runs=most, run_weight=weight)


class Migration(migrations.Migration):
    dependencies = [("billing", "0009_quota_hold")]

    operations = [
        migrations.AddField(
            model_name="plan",
            name="max_concurrent_runs",
            field=models.PositiveIntegerField(db_default=20, default=20),
        ),
        migrations.AddField(
            model_name="plan",
            name="run_weight",
            field=models.PositiveSmallIntegerField(db_default=1, default=1),
        ),
        migrations.AddConstraint(
            model_name="plan",
            constraint=models.CheckConstraint(
                condition=Q(
                    ("max_concurrent_runs__gte", 1), ("run_weight__gte", 1), ("run_weight__lte", 100)
                ),
                name="plan_allows_runs",
            ),
        ),
        migrations.RunPython(set_shares, migrations.RunPython.noop),
    ]

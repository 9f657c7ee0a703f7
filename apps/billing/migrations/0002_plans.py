"""The plans that every installation starts with, and usage events that nobody may change."""

from django.db import migrations

from apps.tenants.orm import AppendOnly

PLANS = [
    {
        "code": "starter",
        "name": "Starter",
        "price_cents": 0,
        "requests_per_minute": 600,
        "has_hard_limits": True,
        "is_default": True,
        "included": {"message": 2_000, "run": 2_000, "document": 500, "search": 10_000},
    },
    {
        "code": "business",
        "name": "Business",
        "price_cents": 9_900,
        "requests_per_minute": 6_000,
        "has_hard_limits": True,
        "included": {"message": 50_000, "run": 50_000, "document": 10_000, "search": 250_000},
    },
    {
        "code": "enterprise",
        "name": "Enterprise",
        "price_cents": 99_900,
        "requests_per_minute": 60_000,
        "has_hard_limits": False,
        "included": {"message": 1_000_000, "run": 1_000_000, "document": 100_000, "search": 5_000_000},
    },
]


def create_plans(apps, schema_editor):
    Plan = apps.get_model("billing", "Plan")
    for plan in PLANS:
        fields = {name: value for name, value in plan.items() if name != "code"}
        Plan.objects.using(schema_editor.connection.alias).get_or_create(code=plan["code"], defaults=fields)


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial")]

    operations = [
        migrations.RunPython(create_plans, migrations.RunPython.noop),
        AppendOnly("billing_usageevent"),
    ]

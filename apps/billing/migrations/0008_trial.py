"""The plan that new companies try: Business's limits, for nothing, and on no sale."""

from django.db import migrations
from django.utils import timezone


def create_trial(apps, schema_editor):
    alias = schema_editor.connection.alias
    Plan, Price = (apps.get_model("billing", name).objects.using(alias) for name in ("Plan", "PlanPrice"))
    tried = Plan.filter(code="business").first()
    facts = {
        "name": "Trial",
        "price_cents": 0,
        "currency": tried.currency if tried else "USD",
        "requests_per_minute": tried.requests_per_minute if tried else 6_000,
        "has_hard_limits": True,
        "included": tried.included if tried else {"message": 50_000, "run": 50_000},
        "is_public": False,
    }
    plan, is_new = Plan.get_or_create(code="trial", defaults=facts)
    if is_new:
        Price.create(plan=plan, version=1, base_fee_cents=0, valid_from=timezone.now())


class Migration(migrations.Migration):
    dependencies = [("billing", "0007_quota_epoch")]

    operations = [migrations.RunPython(create_trial, migrations.RunPython.noop)]

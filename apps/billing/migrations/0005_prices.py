"""The first prices of the plans, an account for every subscription, and what may not be changed any more."""

from decimal import Decimal

from django.db import migrations

from apps.tenants.orm import AllowPlatform, AppendOnly

TIERS = {
    "starter": [],
    "business": [
        ("message", 50_000, "0.004"), ("message", 200_000, "0.003"),
        ("prompt_token", 20_000_000, "0.0000006"), ("completion_token", 4_000_000, "0.0000024"),
        ("document", 10_000, "0.01"), ("search", 250_000, "0.0002"),
    ],
    "enterprise": [
        ("message", 1_000_000, "0.002"), ("message", 5_000_000, "0.0015"),
        ("prompt_token", 500_000_000, "0.0000005"), ("completion_token", 100_000_000, "0.000002"),
        ("document", 100_000, "0.005"), ("search", 5_000_000, "0.0001"),
    ],
}
# Each open account begins with the month that it is in; the application moves on from there.
OPEN_ACCOUNTS = """
INSERT INTO billing_billingaccount (id, tenant_id, created_at, open_from, closes_at, last_number)
SELECT gen_random_uuid(), s.tenant_id, now(), p.starts, p.ends, 0
FROM billing_subscription s
CROSS JOIN LATERAL (SELECT extract(year FROM age(now() AT TIME ZONE 'UTC', s.anchor))::int * 12
  + extract(month FROM age(now() AT TIME ZONE 'UTC', s.anchor))::int AS months) m
CROSS JOIN LATERAL (SELECT (s.anchor + make_interval(months => m.months)) AT TIME ZONE 'UTC' AS starts,
  (s.anchor + make_interval(months => m.months + 1)) AT TIME ZONE 'UTC' AS ends) p
WHERE s.ended_at IS NULL
"""
FREEZE = """
CREATE FUNCTION refuse_final_invoice() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  IF OLD.status = 'final' THEN
    RAISE EXCEPTION 'invoice % is final', OLD.number_text USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER final_invoice BEFORE UPDATE OR DELETE ON billing_invoice
FOR EACH ROW EXECUTE FUNCTION refuse_final_invoice();
"""


def create_prices(apps, schema_editor):
    alias = schema_editor.connection.alias
    Plan, Price, Tier = (apps.get_model("billing", name) for name in ("Plan", "PlanPrice", "PriceTier"))
    for plan in Plan.objects.using(alias).all():
        price = Price.objects.using(alias).create(
            plan=plan, version=1, base_fee_cents=plan.price_cents, valid_from=plan.created_at
        )
        Tier.objects.using(alias).bulk_create(
            Tier(price=price, kind=kind, starts_after=start, unit_price=Decimal(unit))
            for kind, start, unit in TIERS.get(plan.code, [])
        )
    # What goes beyond Business is charged for, not refused.
    Plan.objects.using(alias).filter(code="business").update(has_hard_limits=False)


class Migration(migrations.Migration):
    dependencies = [("billing", "0004_invoices")]

    operations = [
        migrations.RunPython(create_prices, migrations.RunPython.noop),
        migrations.RunSQL(OPEN_ACCOUNTS, migrations.RunSQL.noop),
        migrations.RunSQL(
            FREEZE,
            "DROP TRIGGER final_invoice ON billing_invoice; DROP FUNCTION refuse_final_invoice()",
        ),
        AppendOnly("billing_planprice"),
        AppendOnly("billing_pricetier"),
        AppendOnly("billing_invoiceline"),
        AllowPlatform("billing_billingaccount", "SELECT"),
        AllowPlatform("billing_invoice", "SELECT"),
        AllowPlatform("billing_invoiceline", "SELECT"),
        migrations.RunSQL(
            "GRANT SELECT ON billing_planprice, billing_pricetier TO aiaas_platform", migrations.RunSQL.noop
        ),
    ]

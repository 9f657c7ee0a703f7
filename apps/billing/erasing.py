"""What becomes of this app's rows when a customer is forgotten."""

AMOUNTS = "kept: amounts that invoices are computed from; no words"
RULES = {
    "billing.Subscription": "kept: the company's contract",
    "billing.QuotaEpoch": "kept: a number",
    "billing.QuotaHold": "kept: an amount, until the work that it is for is done",
    "billing.UsageEvent": AMOUNTS,
    "billing.UsageBucket": AMOUNTS,
    "billing.BillingAccount": AMOUNTS,
    "billing.Invoice": "kept: amounts that the company owes",
    "billing.InvoiceLine": "kept: amounts that the company owes",
    "billing.QuotaAlert": AMOUNTS,
    "billing.DraftCheck": AMOUNTS,
}

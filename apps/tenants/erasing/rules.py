"""What becomes of this app's rows when a customer is forgotten."""

RULES = {
    "tenants.Tenant": "kept: the company itself",
    "tenants.Domain": "kept: the company's host names",
    "tenants.User": "kept: the company's people",
    "tenants.Membership": "kept: the company's people",
    "tenants.Invitation": "kept: the company's people",
    "tenants.ApiKey": "kept: keys of the company",
    "tenants.WidgetKey": "kept: settings of the company",
    "tenants.Notice": "kept: mails to the company's owners, which name no customer",
    "tenants.TenantExport": "kept: says when an archive was made; the archives themselves are removed",
    "tenants.Erasure": "kept: the proof of the erasure, which names nobody",
    "tenants.TenantDeletion": "kept: the company's own end",
    "tenants.AuditEvent": "kept: what the company's people did; customers appear as ids that lead nowhere",
}

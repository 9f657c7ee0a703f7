"""What an archive holds, found from the models: a table written next year is in it too."""

import re
from dataclasses import dataclass

from django.apps import apps
from django.db.models import CharField, Field, JSONField, Model, TextField

from apps.tenants.db.compiler import tenant_tables
from apps.tenants.orm import SealedTextField

SECRET = re.compile(r"secret|password|private_key|token_hash|lease_token")
# What goes into the archive as files instead.
FILES = {"ingestion.Original": ("content",)}
# Tables without a tenant of which some rows are the company's all the same.
OTHERS = {
    "tenants.User": "id IN (SELECT user_id FROM tenants_membership)",
    "accounts.SignUp": "slug = (SELECT slug FROM tenants_tenant)",
}
# Models of the product that hold nothing of a company.
NOT_INCLUDED = {
    "billing.Plan": "the platform's offers; an invoice names the plan and carries its prices",
    "billing.PlanPrice": "the platform's price list; an invoice's lines carry their prices",
    "billing.PriceTier": "the platform's price list",
    "events.OutboxShard": "who publishes events at the moment",
    "events.StreamIncarnation": "how far events are published, of all companies together",
    "gateway.SigningKey": "the platform's keys, which sign the tokens of all companies",
    "orchestration.RemovedHistory": "the months whose runs have no events any more, of all companies",
}


@dataclass(frozen=True)
class ExportTable:
    """A table of the archive; `condition` chooses the company's rows where row-level security does not."""

    label: str
    table: str
    columns: tuple[str, ...]
    left_out: tuple[str, ...]
    condition: str = ""

    @property
    def file_name(self) -> str:
        return f"data/{self.label.lower()}.jsonl"

    @property
    def query(self) -> str:
        columns = ", ".join(f'"{name}"' for name in self.columns)
        where = f" WHERE {self.condition}" if self.condition else ""
        return f'SELECT {columns} FROM "{self.table}"{where}'  # noqa: S608 - names of our own models


def list_tables() -> list[ExportTable]:
    """Return every table with something of a company's, by name."""
    models = [
        model
        for model in apps.get_models(include_auto_created=True)
        if model._meta.db_table in tenant_tables() or model._meta.label in OTHERS
    ]
    return sorted((_table(model) for model in models), key=lambda table: table.label)


def _table(model: type[Model]) -> ExportTable:
    label = model._meta.label
    fields = {field.column: field for field in model._meta.concrete_fields if field.column}
    left_out = tuple(
        name for name, field in fields.items() if _is_secret(name, field) or name in FILES.get(label, ())
    )
    columns = tuple(name for name in fields if name not in left_out)
    return ExportTable(label, model._meta.db_table, columns, left_out, OTHERS.get(label, ""))


def _is_secret(name: str, field: "Field[object, object]") -> bool:
    if isinstance(field, SealedTextField):
        return True
    is_text = isinstance(field, CharField | TextField | JSONField) or field.get_internal_type() in (
        "BinaryField",
        "UUIDField",
    )
    return is_text and SECRET.search(name) is not None

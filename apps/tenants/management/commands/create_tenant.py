"""Create a tenant with its schema, owner and first API key."""

import secrets
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.resilience.errors import DomainError
from apps.tenants.contracts import Role
from apps.tenants.services import add_member, clean_email, create_api_key, provision_tenant


class Command(BaseCommand):
    help = "Create a tenant with its schema, its owner and a first API key, which is printed once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", help="3 to 40 small letters, digits and hyphens")
        parser.add_argument("--owner", required=True, help="the owner's e-mail address")
        parser.add_argument("--name", help="the company's name; the slug by default")
        parser.add_argument("--plan", default="starter")

    def handle(self, *args: Any, **options: Any) -> None:
        password = secrets.token_urlsafe(12)
        try:
            owner = clean_email(options["owner"])  # before anything is made
            tenant = provision_tenant(
                slug=options["slug"], name=options["name"] or options["slug"], plan=options["plan"]
            )
            add_member(tenant=tenant, email=owner, role=Role.OWNER, password=password)
            key = create_api_key(tenant=tenant, name="first key", scopes=["api:read", "api:write"])
        except DomainError as error:
            raise CommandError(error.detail) from error
        self.stdout.write(f"tenant    {tenant.slug} ({tenant.id})")
        self.stdout.write(f"owner     {owner}  password {password} (of a new account only)")
        self.stdout.write(f"API key   {key.token}")
        self.stdout.write("Neither the password nor the key is shown again.")

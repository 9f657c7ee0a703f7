"""The embedded servers as they run under every test."""

import os

import psycopg


def test_roles_cannot_bypass_row_security() -> None:
    with psycopg.connect(os.environ["TEST_SUPERUSER_URL"]) as connection:
        rows = connection.execute(
            "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname LIKE 'aiaas%'"
        ).fetchall()
    assert sorted(rows) == [
        (name, False, False, False) for name in ("aiaas_app", "aiaas_owner", "aiaas_platform")
    ]

"""Whether a database already has what this code's migrations and demo companies give it.

The mark is the database's own comment: it goes where the data goes, and is gone when the data is.
"""

import hashlib
from pathlib import Path

import psycopg
from psycopg import sql

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("apps/**/migrations/*.py", "apps/**/models*.py", "aiaas/demo/**/*", "requirements.lock")


def fingerprint(*, with_demo: bool) -> str:
    """Return a digest of everything that `manage.py prepare` works from."""
    digest = hashlib.sha256(f"demo {with_demo}".encode())
    files = {path for pattern in SOURCES for path in ROOT.glob(pattern) if path.is_file()}
    for path in sorted(files):
        if "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return f"prepared {digest.hexdigest()}"


def is_prepared(owner_url: str, mark: str) -> bool:
    """Whether the database carries this very mark."""
    query = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
    with psycopg.connect(owner_url) as connection:
        return connection.execute(query).fetchone() == (mark,)


def mark_prepared(owner_url: str, mark: str) -> None:
    """Put the mark on the database; the owner may."""
    with psycopg.connect(owner_url) as connection:
        statement = sql.SQL("COMMENT ON DATABASE {} IS {}")
        connection.execute(statement.format(sql.Identifier(connection.info.dbname), sql.Literal(mark)))

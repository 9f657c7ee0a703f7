"""A committed database that a test shares with the processes it starts."""

import os
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

URLS = ("DATABASE_URL", "DATABASE_PLATFORM_URL", "DATABASE_OWNER_URL")


@dataclass(frozen=True)
class LiveDatabase:
    name: str

    def environment(self) -> dict[str, str]:
        """Return the variables that lead a process to this database."""
        return {url: urlunsplit(urlsplit(os.environ[url])._replace(path=f"/{self.name}")) for url in URLS}

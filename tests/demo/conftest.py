from dataclasses import replace
from pathlib import Path

import pytest

from aiaas.demo.companies import Company, read_companies
from apps.tenants import selectors

KEPT_ARTICLES = {
    "Returns and refunds",
    "Delivery outside the European Union",
    "Washing and waxing a waxed jacket",
    "Setting up single sign-on (SSO)",
    "API rate limits",
    "Plans and prices",
}


@pytest.fixture
def companies(live_db: object, valkey: object, settings: object, tmp_path: Path) -> list[Company]:
    """Two companies with three articles each, and a folder of their own for what is noted on disk."""
    settings.DATA_DIR = tmp_path  # type: ignore[attr-defined]
    selectors._refs.clear()  # tenants of another test's database
    return [
        replace(company, articles=tuple(a for a in company.articles if a.title in KEPT_ARTICLES))
        for company in read_companies()
    ]

"""docs/security.md keeps its word: every item is there, and each test that it names exists."""

import ast
import re
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(settings.ROOT)
PAGE = (ROOT / "docs" / "security.md").read_text()
ITEMS = {
    1: "Broken Object Level Authorization",
    2: "Broken Authentication",
    3: "Broken Object Property Level Authorization",
    4: "Unrestricted Resource Consumption",
    5: "Broken Function Level Authorization",
    6: "Unrestricted Access to Sensitive Business Flows",
    7: "Server Side Request Forgery",
    8: "Security Misconfiguration",
    9: "Improper Inventory Management",
    10: "Unsafe Consumption of APIs",
}
SECTIONS = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
NAMED = re.findall(r"`(tests/[\w/]+\.py)((?:::\w+)?)`", PAGE)
CODE = re.findall(r"`((?:apps|aiaas|workers|deploy)/[\w/.]+)`", PAGE)


def section(start: str) -> str:
    found = [one for one in SECTIONS if one.startswith(start)]
    assert len(found) == 1, f"one section begins with {start}"
    return found[0]


@pytest.mark.parametrize("number", ITEMS)
def test_every_item_says_what_holds_which_test_shows_it_and_what_is_left(number: int):
    text = section(f"API{number}:2023 {ITEMS[number]}\n")
    for word in ("**Risk.**", "**Holds.**", "**Shown by.**", "**Left.**"):
        assert word in text, word
    assert re.search(r"`tests/[\w/]+\.py", text), "no test shows it"


@pytest.mark.parametrize("title", ["Secrets", "Tenant isolation", "Supply chain", "Reporting"])
def test_the_rest_is_there(title: str):
    assert len(section(title)) > 200


def test_there_are_enough_of_them():
    assert len(NAMED) >= 40


@pytest.mark.parametrize(("path", "test"), sorted(set(NAMED)))
def test_a_named_test_exists(path: str, test: str):
    tree = ast.parse((ROOT / path).read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    tests = {
        node.name for node in ast.walk(tree) if isinstance(node, kinds) and node.name.startswith("test_")
    }
    assert tests, path
    assert not test or test.removeprefix("::") in tests


@pytest.mark.parametrize("path", sorted(set(CODE)))
def test_a_named_module_exists(path: str):
    assert (ROOT / path).exists()


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_every_package_is_pinned_with_hashes_and_comes_from_no_address(lock: str):
    text = (ROOT / lock).read_text()
    assert not re.search(r"https?://|git\+|--index|--extra-index|--find-links|file:", text)
    packages = re.split(r"\n(?=\S)", text.strip())
    for package in (one for one in packages if not one.startswith("#")):
        assert re.match(r"[\w.\-\[\],]+==\S+", package), package.splitlines()[0]
        assert "--hash=sha256:" in package, package.splitlines()[0]

"""Lists of sites: exact origins, and wildcards that let in subdomains alone."""

import pytest

from apps.tenants.origins import allows_origin, clean_origin


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("*.shop.example", "https://*.shop.example"),
        ("https://*.Shop.Example/", "https://*.shop.example"),
        ("http://*.shop.example:8080", "http://*.shop.example:8080"),
        ("*.münchen.example", "https://*.xn--mnchen-3ya.example"),
    ],
)
def test_a_wildcard_is_kept_as_it_is_compared(given, kept):
    assert clean_origin(given) == kept
    assert clean_origin(kept) == kept


@pytest.mark.parametrize(
    "given", ["*", "*.", "*.com", "*.localhost", "*.10.0.0.1", "a.*.example", "*.*.shop.example", "ftp://*.a.example",
              "*shop.example", "https://*.shop.example@evil.example"],
)  # fmt: skip
def test_a_wildcard_of_everything_or_in_the_middle_is_refused(given):
    with pytest.raises(ValueError, match="is no domain"):
        clean_origin(given)


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        ("https://www.shop.example", True),
        ("https://a.b.shop.example", True),
        ("HTTPS://WWW.SHOP.EXAMPLE", True),
        ("https://shop.example", False),
        ("https://evilshop.example", False),
        ("https://shop.example.evil.example", False),
        ("http://www.shop.example", False),
        ("https://www.shop.example:8443", False),
        ("https://one.example", True),
        ("https://x.one.example", False),
        ("null", False),
        ("", False),
    ],
)
def test_a_wildcard_lets_in_subdomains_and_nothing_else(origin, is_allowed):
    assert allows_origin(origin, {"https://*.shop.example", "https://one.example"}) is is_allowed

import re

import jwt
import pytest
from django.test import Client

from apps.realtime import sites
from apps.realtime.pages import demo, script
from apps.tenants.services import create_widget_key

pytestmark = pytest.mark.usefixtures("db")


@pytest.fixture
def shop(acme, monkeypatch):
    """The shop's site, with acme in the role of its company."""
    create_widget_key(tenant=acme)
    monkeypatch.setattr(demo, "SITES", {"acme": sites.SHOP})
    return acme


def test_the_widget_is_one_script_that_knows_where_to_connect(client: Client, settings):
    settings.REALTIME_URL = "wss://chat.example.com"
    response = client.get("/widget.js")
    script = response.content.decode()
    assert response["Content-Type"].startswith("text/javascript")
    assert response["Access-Control-Allow-Origin"] == "*"
    assert 'const REALTIME_URL = "wss://chat.example.com";' in script
    assert script.startswith("(() => {")


def test_the_widget_is_cached_until_it_changes(client: Client, settings):
    etag = client.get("/widget.js")["ETag"]
    assert client.get("/widget.js", headers={"If-None-Match": etag}).status_code == 304
    settings.REALTIME_URL = "wss://elsewhere.example.com"
    assert client.get("/widget.js", headers={"If-None-Match": etag}).status_code == 200


def test_the_widget_never_makes_markup_of_text():
    source = script.build_widget("wss://x")
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", source
    )


def test_the_site_has_one_script_tag_and_a_strict_policy(client: Client, shop, settings):
    response = client.get("/demo/acme/")
    page = response.content.decode()
    assert page.count("<script") == 1
    assert not re.search(r"\sstyle=|\son\w+=|<style", page)
    policy = response["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert f"connect-src {settings.REALTIME_URL}" in policy
    assert "unsafe" not in policy


def test_the_customer_is_signed_in_and_a_guest_is_not(client: Client, shop):
    widget = demo.get_widget_key(tenant=shop)
    page = client.get("/demo/acme/").content.decode()
    token = re.search(r'data-token="([^"]+)"', page)[1]
    claims = jwt.decode(token, widget.identity_secret, algorithms=["HS256"])
    assert claims["email"] == sites.SHOP.customer_email
    guest = client.get("/demo/acme/?guest").content.decode()
    assert "data-token" not in guest
    assert f'data-key="{widget.key}"' in guest
    assert widget.identity_secret not in page + guest


def test_every_question_can_be_asked_by_a_click(client: Client, shop):
    page = client.get("/demo/acme/").content.decode()
    assert page.count("data-aiaas-ask=") == len(sites.SHOP.questions)


def test_lists_the_sites(client: Client):
    page = client.get("/demo/").content.decode()
    assert all(f"/demo/{slug}/" in page for slug in sites.SITES)


@pytest.mark.parametrize("path", ["/demo/shop/", "/demo/acme/", "/demo/nobody/"])
def test_a_site_of_nobody_is_not_found(client: Client, path):
    assert client.get(path).status_code == 404


def test_without_demo_pages_nobody_is_signed_in(client: Client, shop, settings):
    settings.DEMO_PAGES = False
    assert client.get("/demo/acme/").status_code == 404
    assert client.get("/demo/").status_code == 404


@pytest.mark.parametrize("path", ["/widget.js", "/demo/", "/demo/acme/"])
def test_only_reading(client: Client, path):
    assert client.post(path).status_code == 405

"""Webhook endpoints as a member sets them up, tries them, and sees what came."""

import html
import json
import re
import subprocess

import pytest
from bs4 import BeautifulSoup
from django.test import Client

from apps.conversations.models import Conversation
from apps.orchestration.hooks import services
from apps.orchestration.hooks.models import Delivery, Endpoint
from apps.tenants.context import in_tenant
from apps.tenants.contracts import Role, TenantRef
from apps.tenants.selectors import list_audit_events
from tests.orchestration.hooks import listen, log_of, open_endpoint, post, runs, send, statuses
from tests.pages import log_in

pytestmark = pytest.mark.usefixtures("valkey")
LIST = "/app/channels/webhooks/"


def page_of(client: Client, url: str, **query: str) -> BeautifulSoup:
    answer = client.get(url, query)
    assert answer.status_code == 200
    return BeautifulSoup(answer.content, "html.parser")


def make(client: Client, name: str = "orders", action: str = "workflows") -> str:
    """Make an endpoint as a member does and return its page's address."""
    answer = client.post(LIST, {"name": name, "action": action})
    assert answer.status_code == 302, answer.content
    return answer.headers["Location"]


def try_form(page: BeautifulSoup) -> dict[str, str]:
    form = page.select_one("#try form")
    return {"body": form.select_one("textarea").text, "key": form.select_one("[name=key]")["value"]}


def test_from_the_empty_list_to_a_secret_that_is_shown_once(acme: TenantRef):
    client = log_in(acme)
    empty = page_of(client, LIST)
    assert "No webhook endpoint" in empty.text
    assert "customer_support_workflow" in empty.select_one(".banner").text, "what waits for an endpoint"
    make_it = empty.select_one(".banner a")["href"]
    assert page_of(client, LIST + make_it.split("#")[0]).select_one("[name=name]")["value"] == "support"
    url = make(client, "support")
    secret = page_of(client, url).select_one("#webhook-secret")["value"]
    again = page_of(client, url)
    assert again.select_one("#webhook-secret") is None
    assert secret not in str(again)
    assert "customer_support_workflow" in again.select_one(".panel").text
    listed = page_of(client, LIST)
    assert listed.select_one("tbody a")["href"] == url
    assert not listed.select(".banner")
    issued = open_endpoint(acme, "probe")
    assert len(secret) == len(issued.secret)


def test_the_secret_is_shown_to_its_maker_at_its_endpoint_only(acme: TenantRef):
    client, other = log_in(acme), open_endpoint(acme, "other").endpoint
    url = make(client)
    assert page_of(client, f"{LIST}{other.id}/").select_one("#webhook-secret") is None
    assert page_of(log_in(acme), url).select_one("#webhook-secret") is None
    assert page_of(client, url).select_one("#webhook-secret")


@pytest.mark.parametrize("name", ["", "Support", "a b", "a/b", "-a", "ü", "x" * 64, "a.b", "\x00", "<b>"])
def test_a_name_that_is_no_part_of_an_address_is_refused_at_its_field(acme: TenantRef, name: str):
    answer = log_in(acme).post(LIST, {"name": name, "action": "workflows"})
    assert answer.status_code == 422
    assert BeautifulSoup(answer.content, "html.parser").select(".has-errors input[name=name]")
    with in_tenant(acme):
        assert not Endpoint.objects.exists()


def test_a_name_is_taken_once(acme: TenantRef, globex: TenantRef):
    open_endpoint(globex, "orders")
    client = log_in(acme)
    make(client, "orders")
    answer = client.post(LIST, {"name": "orders", "action": "message"})
    assert answer.status_code == 422
    assert "already" in answer.content.decode()
    assert client.post(LIST, {"name": "b", "action": "explode"}).status_code == 422


def test_the_commands_on_the_page_are_right(acme: TenantRef):
    """Run them as they stand, with a curl that only says what it was given."""
    client = log_in(acme)
    listen(acme)
    url = make(client)
    page = page_of(client, url)
    secret = page.select_one("#webhook-secret")["value"]
    commands = page.select_one("#webhook-commands").text.replace("whsec_…", secret)
    script = "curl() { printf '%s\\0' \"$@\"; }\n" + commands
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], capture_output=True, check=True)
    given = done.stdout.decode().split("\0")
    assert given[1] == page.select_one("#webhook-address")["value"]
    assert given[1].endswith("/hooks/acme/orders")
    body = given[given.index("--data-binary") + 1]
    headers = dict(line.split(": ", 1) for line in given if line.startswith("webhook-"))
    answer = post(acme, "orders", body.encode(), headers)
    assert answer.status_code == 202, answer.content
    assert runs(acme)[0].input["order_number"] == "example"


def test_a_quote_in_a_sample_stays_inside_its_quotes(acme: TenantRef):
    from apps.orchestration.definitions.services import publish_workflow, save_draft
    from tests.orchestration.hooks import IMPORT_ORDERS

    source = (IMPORT_ORDERS % ("quoting", "orders")).replace("default: 1", "default: 1, description: x")
    source = source.replace(
        "copies: {type: int", 'why: {type: string, default: "it\'s; $(id) `id`"}\n  copies: {type: int'
    )
    save_draft(tenant=acme, source=source)
    publish_workflow(tenant=acme, name="quoting")
    client = log_in(acme)
    commands = page_of(client, make(client)).select_one("#webhook-commands").text
    script = commands.split("ID=", 1)[0] + 'printf %s "$BODY"'
    said = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
    assert json.loads(said)["why"] == "it's; $(id) `id`"


def test_the_test_button_delivers_as_a_sender_does(acme: TenantRef):
    client = log_in(acme)
    listen(acme)
    url = make(client)
    sent = try_form(page_of(client, url))
    assert json.loads(sent["body"]) == {"order_number": "example", "copies": 1}
    answer = client.post(f"{url}test/", sent)
    assert answer.status_code == 302
    [run] = runs(acme)
    shown = page_of(client, answer.headers["Location"].split("#")[0])
    assert shown.select_one("#try .banner a")["href"] == f"/app/runs/{run.id}/"
    client.post(f"{url}test/", sent)
    assert len(runs(acme)) == 1, "the same form, sent twice, is one delivery"
    assert [(d.status, d.is_test) for d in log_of(acme)] == [("accepted", True), ("duplicate", True)]
    assert list_audit_events(tenant=acme)[0].action == "webhook.tested"
    assert try_form(shown)["key"] != sent["key"]


def test_the_test_button_opens_a_conversation(acme: TenantRef):
    client = log_in(acme)
    url = make(client, "chat", "message")
    answer = client.post(f"{url}test/", try_form(page_of(client, url)), follow=True)
    with in_tenant(acme):
        talk = Conversation.objects.get(channel="webhook")
    assert f"/app/conversations/{talk.id}/" in answer.content.decode()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("{", "JSON"),
        ("[]", "JSON object"),
        ('{"order_number": 7}', "order_number"),
        ("", "required"),
        ("x" * 70_000, "65536"),
    ],
)
def test_a_bad_test_is_told_at_its_field(acme: TenantRef, body: str, said: str):
    client = log_in(acme)
    listen(acme)
    url = make(client)
    answer = client.post(f"{url}test/", {**try_form(page_of(client, url)), "body": body})
    assert answer.status_code == 422
    field = BeautifulSoup(answer.content, "html.parser").select_one("#try .has-errors")
    assert said in field.select_one(".errorlist").text
    assert field.select_one("textarea").text.lstrip("\n") == body
    assert runs(acme) == []


def test_a_paused_endpoint_refuses_and_is_resumed_by_undo(acme: TenantRef):
    client, issued = log_in(acme), open_endpoint(acme, action="message")
    url, payload = f"{LIST}{issued.endpoint.id}/", {"message": {"text": "Hello"}}
    page = client.post(f"{url}pause/", follow=True).content.decode()
    assert send(acme, issued, payload).status_code == 401
    refused = client.post(f"{url}test/", try_form(BeautifulSoup(page, "html.parser")))
    assert (refused.status_code, "resume it to try it" in refused.content.decode()) == (422, True)
    undo = re.search(r'action="([^"]+resume/)"', page)[1]
    assert "Undo" in client.post(undo, follow=True).content.decode()
    assert send(acme, issued, payload).status_code == 202
    acts = [event.action for event in list_audit_events(tenant=acme)]
    assert {"webhook.paused", "webhook.resumed"} <= set(acts)


def test_a_new_secret_is_shown_once_and_the_old_one_ends(acme: TenantRef):
    client, old = log_in(acme), open_endpoint(acme, action="message")
    url, payload = f"{LIST}{old.endpoint.id}/", {"message": {"text": "Hello"}}
    assert client.post(f"{url}rotate/", {"overlap_s": "5"}).status_code == 422
    assert send(acme, old, payload).status_code == 202
    page = BeautifulSoup(client.post(f"{url}rotate/", {"overlap_s": "0"}, follow=True).content, "html.parser")
    assert page.select_one("#webhook-secret")["value"] != old.secret
    assert send(acme, old, payload).status_code == 401
    client.post(f"{url}rotate/", {"overlap_s": "3600"})
    assert "former secret is accepted until" in page_of(client, url).text


def test_a_deleted_endpoint_is_gone_with_its_log(acme: TenantRef):
    client, issued = log_in(acme), open_endpoint(acme, action="message")
    send(acme, issued, {"message": {"text": "Hello"}})
    url = f"{LIST}{issued.endpoint.id}/"
    assert "data-confirm" in str(page_of(client, url).select_one(f'form[action="{url}delete/"]'))
    assert client.post(f"{url}delete/").headers["Location"] == LIST
    assert log_of(acme) == []
    assert client.get(url).status_code == 404
    assert send(acme, issued, {"message": {"text": "Hello"}}).status_code == 401
    assert list_audit_events(tenant=acme)[0].action == "webhook.deleted"


def test_deliveries_are_listed_filtered_and_paged(acme: TenantRef):
    client, issued = log_in(acme), open_endpoint(acme, action="message")
    url = f"{LIST}{issued.endpoint.id}/"
    assert "No delivery yet" in page_of(client, url).text
    for number in range(27):
        send(acme, issued, {"message": {"text": "Hello"}}, f"msg_{number}")
    send(acme, issued, {"message": {}}, "msg_bad")
    send(acme, issued, {"message": {"text": "Hello"}}, "msg_0")
    first = page_of(client, url)
    assert len(first.select("tbody tr")) == 25
    assert "duplicate" in first.select_one("tbody tr").text
    rest = page_of(client, url + first.select_one(".pager a[rel=next]")["href"])
    assert len(rest.select("tbody tr")) == 4
    refused = page_of(client, url, status="refused")
    assert [row.select_one(".webhook-id").text for row in refused.select("tbody tr")] == ["msg_bad"]
    assert "message.text: This is required" in refused.text
    assert client.get(url, {"status": "nonsense"}).status_code == 422


def test_nothing_of_a_body_is_kept(acme: TenantRef):
    issued = open_endpoint(acme, action="message")
    send(acme, issued, {"message": {"text": "SECRET-77"}})
    send(acme, issued, {"message": {"text": "SECRET-77", "client_message_id": 7}})
    with in_tenant(acme):
        rows = list(Delivery.objects.values())
    assert len(rows) == 2
    assert "SECRET-77" not in str(rows)


def test_what_a_stranger_sends_is_shown_as_text(acme: TenantRef):
    issued, evil = open_endpoint(acme), "<script>alert(1)</script>"
    post(acme, "support", b"{}", {"webhook-id": evil, "webhook-timestamp": "1", "webhook-signature": "x"})
    page = log_in(acme).get(f"{LIST}{issued.endpoint.id}/").content.decode()
    assert evil not in page
    assert html.escape(evil) in page


def test_a_viewer_sees_and_changes_nothing(acme: TenantRef):
    issued = open_endpoint(acme)
    viewer, url = log_in(acme, Role.VIEWER), f"{LIST}{issued.endpoint.id}/"
    page = page_of(viewer, url)
    assert not page.select("main form[method=post]")
    assert not page_of(viewer, LIST).select("main form[method=post]")
    for act in ("rotate", "pause", "resume", "delete", "test"):
        assert viewer.post(f"{url}{act}/", {"overlap_s": "0", "body": "{}"}).status_code == 403
    assert services.switch_endpoint(
        tenant=acme, endpoint_id=issued.endpoint.id, is_active=True, actor="test"
    ).is_active
    assert statuses(acme) == []


def test_pages_cost_the_same_for_many(acme: TenantRef, django_assert_max_num_queries):
    client = log_in(acme)
    for number in range(6):
        issued = open_endpoint(acme, f"e{number}", "message")
        send(acme, issued, {"message": {"text": "Hello"}})
    for path in (LIST, f"{LIST}{issued.endpoint.id}/"):
        client.get(path)
        with django_assert_max_num_queries(10):
            client.get(path)

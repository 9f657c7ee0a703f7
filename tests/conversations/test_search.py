"""Conversations found by their words and by what is known of them."""

import pytest

from apps.conversations import selectors, services
from apps.conversations.contracts import ConversationQuery, CustomerInput
from apps.conversations.selectors import search
from apps.tenants.context import in_tenant

HOSTILE = [
    "\\",
    "'",
    "''; DROP TABLE x; --",
    "a & | ! ( <-> :*",
    "%",
    "_",
    "😀",
    "<script>",
    "&",
    ":*",
    "E'\\n'",
    "a" * 200,
]


def start(tenant, *texts, name="", **options):
    customer = CustomerInput(email=f"{name.split()[0]}@example.com", name=name) if name else None
    started = services.start_conversation(
        tenant=tenant, channel=options.get("channel", "api"), text=texts[0], customer=customer
    )
    for text in texts[1:]:
        services.receive_message(tenant=tenant, conversation_id=started.conversation.id, text=text)
    return started.conversation.id


def find(tenant, cursor="", **query):
    page = selectors.list_conversations(tenant=tenant, query=ConversationQuery(**query), cursor=cursor)
    return [row.conversation.id for row in page.items]


def test_words_are_found_from_their_start_and_all_of_them(acme):
    lamp = start(acme, "Hello", "My lamp HG-2041-B is broken, write to ann@shop.example")
    start(acme, "Where is my parcel?")
    for text in ("lamp", "LAM", "broken lamp", "hg-2041-b", "2041", "shop.example", "ann@shop"):
        assert find(acme, text=text) == [lamp], text
    assert find(acme, text="lamp parcel") == []
    assert find(acme, text="la") == []  # too short to stand for what begins with it
    page = selectors.list_conversations(tenant=acme, query=ConversationQuery(text="broken"))
    assert page.items[0].excerpt.startswith("My lamp HG-2041-B")


def test_unicode_words_are_found(acme):
    umlaut = start(acme, "Wann kommt die Rückerstattung für „Öl“?")
    for text in ("rückerstattung", "Öl", "für"):
        assert find(acme, text=text) == [umlaut], text


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_words_find_nothing_and_break_nothing(acme, text):
    start(acme, "Where is my parcel?")
    assert find(acme, text=text) == []


def test_a_search_stays_in_its_tenant(acme, globex):
    theirs = start(acme, "A secret lamp")
    assert find(globex, text="lamp") == []
    assert find(globex) == []
    with in_tenant(globex):
        assert search._find("lamp") == ([], 0)
    assert find(acme, text="lamp") == [theirs]


@pytest.mark.parametrize("most_found", [5_000, 1])
def test_conditions_add_up_on_both_ways(acme, monkeypatch, most_found):
    monkeypatch.setattr(search, "MOST_FOUND", most_found)
    ann = start(acme, "A lamp", name="Ann Lee", channel="widget")
    ben = start(acme, "A lamp too", name="Ben")
    assert find(acme, text="lamp") == [ben, ann]
    assert find(acme, text="lamp", customer="lee") == [ann]
    assert find(acme, text="lamp", customer="BEN@example.com") == [ben]
    assert find(acme, text="lamp", channel="widget", status="open") == [ann]
    assert find(acme, text="lamp", status="closed") == []


def test_a_frequent_word_is_looked_for_page_by_page(acme, monkeypatch):
    monkeypatch.setattr(search, "MOST_FOUND", 2)
    monkeypatch.setattr(search, "LOOKED_THROUGH", 3)
    monkeypatch.setattr(search, "AT_ONCE", 1)
    monkeypatch.setattr(search, "PAGE_SIZE", 2)
    lamps = [
        start(acme, text) for text in ("lamp", "lamp", "cup", "cup", "cup", "cup", "lamp", "lamp", "lamp")
    ]
    wanted = [lamps[n] for n in (8, 7, 6, 1, 0)]
    found, cursor, pages = [], "", 0
    while pages == 0 or cursor:
        page = selectors.list_conversations(tenant=acme, query=ConversationQuery(text="lamp"), cursor=cursor)
        found += [row.conversation.id for row in page.items]
        cursor, pages = page.next_cursor, pages + 1
    assert found == wanted
    assert pages >= 4


def test_what_has_no_answer_is_told(acme):
    asked = start(acme, "Where is my parcel?")
    assert find(acme, unanswered=True) == [asked]

    def reply(key, **receipt):
        services.post_reply(
            tenant=acme, conversation_id=asked, text="…", reply_key=key, receipt=receipt or None
        )
        return find(acme, unanswered=True)

    assert reply("1", intent="order_status", knows=False) == [asked]
    assert find(acme, intent="order_status") == [asked]
    assert reply("2", intent="smalltalk", knows=False, tier="rules") == []
    services.receive_message(tenant=acme, conversation_id=asked, text="Hello?", client_message_id="c")
    assert find(acme, unanswered=True) == [asked]
    assert reply("3", intent="faq", knows=True) == []
    services.receive_message(tenant=acme, conversation_id=asked, text="Hello?", client_message_id="c")
    assert find(acme, unanswered=True) == []  # what is known already changes nothing
    assert selectors.list_known_intents(tenant=acme) == ["faq"]


def test_an_empty_conversation_is_not_listed(acme, conversation):
    assert find(acme) == []

"""From an address and a password to a company of one's own, whatever is killed on the way."""

import threading

import pytest
from django.contrib.auth import get_user_model
from django.db import connections
from django.test import Client

from apps.accounts import services
from apps.accounts.models import SignUp
from apps.accounts.samples import SAMPLES
from apps.ingestion.selectors import list_documents
from apps.tenants.contracts import Role
from apps.tenants.selectors import get_tenant, get_widget_key, list_memberships
from apps.tenants.services import provision_tenant

GOOD = {
    "email": "nora@new.example",
    "password1": "correct horse battery",
    "company": "New Company",
    "time_zone": "Europe/Berlin",
}
pytestmark = pytest.mark.usefixtures("valkey")


def sign_up(**changes: str) -> tuple[Client, object]:
    client = Client(headers={"Accept": "text/html"})
    return client, client.post("/accounts/signup/", {**GOOD, **changes})


def test_a_person_signs_up_and_lands_on_the_first_steps(live_db):
    client, answer = sign_up()
    assert answer.headers["Location"] == "/accounts/start/"
    page = client.get("/accounts/start/").content.decode()
    assert "Making New Company" in page
    assert services.sweep_due_sign_ups() == 1
    assert client.get("/accounts/start/").headers["Location"] == "/app/first-steps/"
    page = client.get("/app/first-steps/").content.decode()
    tenant = get_tenant(slug="new-company")
    assert get_widget_key(tenant=tenant).key in page
    assert "0 of 4 done" in page
    user = get_user_model().objects.get(email=GOOD["email"])
    assert [m.role for m in list_memberships(user_id=user.id)] == [Role.OWNER]
    documents = list_documents(tenant=tenant)
    assert {d.status for d in documents} == {"ready"}
    assert len(documents) == len(SAMPLES)
    assert client.get("/app/try/").status_code == 200


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("email", "nobody", "valid email"),
        ("email", "", "required"),
        ("password1", "short", "at least"),
        ("password1", "password", "common"),
        ("company", "", "required"),
        ("company", "x" * 201, "200 characters"),
        ("company", "a\x00b", "Null characters"),
        ("time_zone", "Mars/Base", "valid choice"),
    ],
)
def test_wrong_input_is_told_at_its_field_and_makes_nothing(live_db, field: str, value: str, says: str):
    _, answer = sign_up(**{field: value})
    assert answer.status_code == 200  # as allauth answers a form with errors
    assert says in answer.content.decode()
    assert not SignUp.objects.exists()
    assert not get_user_model().objects.filter(email=GOOD["email"]).exists()


def test_an_address_signs_up_once(live_db):
    sign_up()
    sign_up(company="Second")
    assert SignUp.objects.count() == 1


def test_a_taken_name_gets_another_address(live_db):
    provision_tenant(slug="new-company", name="Somebody else")
    client, _ = sign_up()
    services.sweep_due_sign_ups()
    made = SignUp.objects.get()
    assert made.slug.startswith("new-company-")
    assert client.get("/accounts/start/").headers["Location"] == "/app/first-steps/"


@pytest.mark.parametrize("company", ["株式会社", "1 & 2", "-- --", "x" * 200, "A.B"])
def test_any_name_finds_an_address(live_db, company: str):
    sign_up(company=company)
    assert services.sweep_due_sign_ups() == 1
    assert SignUp.objects.get().status == SignUp.Status.DONE


@pytest.mark.parametrize("step", ["provision_tenant", "add_member", "add_document"])
def test_a_worker_killed_between_two_steps_is_made_good(live_db, monkeypatch: pytest.MonkeyPatch, step: str):
    class Killed(BaseException): ...

    def die(*args: object, **kwargs: object) -> None:
        work(*args, **kwargs)
        raise Killed

    sign_up()
    work = getattr(services, step)
    with monkeypatch.context() as patch:
        patch.setattr(services, step, die)
        with pytest.raises(Killed):
            services.provision_company(sign_up_id=SignUp.objects.get().id)
    assert services.sweep_due_sign_ups() == 0, "the lease is held"
    SignUp.objects.update(due_at="2020-01-01T00:00Z")
    assert services.sweep_due_sign_ups() == 1
    assert SignUp.objects.get().status == SignUp.Status.DONE
    assert len(list_documents(tenant=get_tenant(slug="new-company"))) == len(SAMPLES)


def test_two_workers_make_one_company(live_db):
    sign_up()
    wish = SignUp.objects.get()

    def work() -> None:
        services.provision_company(sign_up_id=wish.id)
        connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert SignUp.objects.get().attempts == 1
    assert SignUp.objects.get().status == SignUp.Status.DONE


def test_what_fails_for_good_says_so_and_can_be_tried_again(live_db, monkeypatch: pytest.MonkeyPatch):
    client, _ = sign_up()

    def refuse(**_: object) -> None:
        raise RuntimeError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(services, "provision_tenant", refuse)
        for _ in range(services.MAX_ATTEMPTS):
            SignUp.objects.update(due_at="2020-01-01T00:00Z")
            services.sweep_due_sign_ups()
    page = client.get("/accounts/start/").content.decode()
    assert "That did not work" in page
    assert "disk" not in page
    assert client.post("/accounts/start/").status_code == 302
    services.sweep_due_sign_ups()
    assert client.get("/accounts/start/").headers["Location"] == "/app/first-steps/"


def test_a_person_without_a_company_may_create_one(live_db):
    user = get_user_model().objects.create(email="alone@new.example")
    client = Client(headers={"Accept": "text/html"})
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert client.get("/app/").headers["Location"] == "/accounts/start/"
    assert client.post("/accounts/start/", {"company": ""}).status_code == 422
    assert client.post("/accounts/start/", {"company": "Solo", "time_zone": "UTC"}).status_code == 302
    services.sweep_due_sign_ups()
    assert client.get("/accounts/start/").headers["Location"] == "/app/first-steps/"

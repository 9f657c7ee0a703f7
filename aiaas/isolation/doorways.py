"""Attack what takes signed deliveries and files, and look at every file that the product has written."""

import time
import uuid
from pathlib import Path

from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from aiaas.isolation.companies import Company
from aiaas.isolation.evidence import Watch, find_foreign
from aiaas.isolation.report import Report
from aiaas.isolation.routes import all_routes, operation
from aiaas.isolation.urls import Caller
from apps.orchestration.hooks.signing import sign

HOOK = "hooks/<str:tenant>/<str:endpoint>"
SERVERS = {
    "postgres",
    "valkey",
    "nats",
    "logs",
    "secrets.json",
    "run.json",
    "processes.json",
    "up.lock",
    "peers",
}
NOTED = "hooks_delivery"  # an endpoint's log counts refused attempts, of strangers too
MAX_READ_BYTES = 5_000_000


class HookAttack:
    """Sign with the intruder's secret for every mixture of the two addresses."""

    def __init__(self, report: Report, victim: Company, intruder: Company) -> None:
        self.report, self.victim, self.intruder = report, victim, intruder
        self.watch = Watch(victim, intruder)

    def run(self) -> None:
        """Attack every route under hooks/."""
        for route in (route for route in all_routes() if route.pattern.startswith("hooks/")):
            self.report.aim("hooks")
            if route.pattern != HOOK:
                self.report.miss("hooks", f"{route.pattern}: no attack knows how it is signed")
        if self._deliver(self.intruder.tenant.slug, self.intruder.mark)[0] >= 300:
            self.report.miss("hooks", "the intruder's own delivery is refused, so nothing is shown by others")
        refusal = self._deliver("nobody-at-all", "nothing")
        slugs = (self.victim.tenant.slug, self.intruder.tenant.slug, str(self.victim.tenant.id))
        names = (self.victim.mark, self.intruder.mark, *self._endpoint_ids())
        for slug in slugs:
            for name in names:
                if (slug, name) == (self.intruder.tenant.slug, self.intruder.mark):
                    continue
                answer = self._deliver(slug, name)
                is_same = answer[:2] == refusal[:2]
                finding = answer[2] or ("" if is_same else f"answers {answer[0]}, not as to nobody")
                self.report.judge("hooks", f"POST /hooks/{slug}/{name}", finding)

    def _endpoint_ids(self) -> list[str]:
        return [thing.value for thing in self.victim.things if thing.table == "hooks.Endpoint"]

    def _deliver(self, slug: str, name: str) -> tuple[int, str, str]:
        body, moment, webhook_id = b'{"message": {"text": "hello"}}', str(int(time.time())), uuid.uuid4().hex
        headers = {
            "webhook-id": webhook_id,
            "webhook-timestamp": moment,
            "webhook-signature": sign(self.intruder.hook_secret, webhook_id, moment, body),
        }
        url = f"/hooks/{slug}/{name}"
        with self.watch.undone() as done:
            client = Client(raise_request_exception=False)
            response = client.post(url, body, content_type="application/json", headers=headers)
        told = response.content.decode()
        finding = find_foreign(told, self.victim, (slug, name)) or self.watch.verdict(done, may_touch=NOTED)
        return response.status_code, response.json().get("detail", ""), finding


class UploadAttack:
    """Upload what the victim has, wherever files are taken: the same content leads to nothing of theirs."""

    def __init__(self, report: Report, victim: Company, intruder: Company) -> None:
        self.report, self.victim, self.intruder = report, victim, intruder

    def run(self) -> None:
        """Attack every operation that the API's document says takes a form with a file."""
        caller = Caller(self.intruder, Watch(self.victim, self.intruder))
        mark = self.victim.mark
        rows = ["name,email,external_id,number,customer_email,total_cents,currency"]
        rows += [f"{mark},{mark}@proof.example,{mark},{mark.upper()},{mark}@proof.example,1,EUR"]
        files = {"theirs.txt": f"The secret word is {mark}.", "theirs.csv": "\n".join(rows)}
        for route in (route for route in all_routes() if route.is_api and not route.first):
            content = operation(route, "POST").get("requestBody", {}).get("content", {})
            if "multipart/form-data" not in content:
                continue
            self.report.aim("uploads")
            for name, held in files.items():
                file = SimpleUploadedFile(name, held.encode())
                answer = caller.upload(route, file, sent=[held, mark, mark.upper()])
                self.report.judge("uploads", f"POST {route.pattern} {name}", answer.finding)


def attack_files(report: Report, companies: tuple[Company, ...]) -> None:
    """Read every file in the data folder: whichever holds a tenant's data is named after the tenant."""
    folder = Path(settings.DATA_DIR)
    for path in (path for path in folder.rglob("*") if path.is_file()):
        if path.relative_to(folder).parts[0] in SERVERS:
            continue
        report.aim("files")
        held = path.read_bytes()[:MAX_READ_BYTES]
        owners = [company for company in companies if find_foreign(held, company)]
        strange = [company for company in owners if not any(name in str(path) for name in company.names)]
        finding = "holds a tenant's data without its name" if strange else ""
        report.judge("files", str(path.relative_to(folder)), finding)

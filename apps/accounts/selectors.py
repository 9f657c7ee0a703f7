"""Read how far a sign-up and a company's first steps are."""

from dataclasses import dataclass
from uuid import UUID

from apps.accounts.models import SignUp
from apps.accounts.samples import SAMPLE_TITLES
from apps.conversations.selectors import has_conversations
from apps.ingestion.selectors import has_documents_besides
from apps.tenants.context import in_tenant
from apps.tenants.contracts import TenantRef
from apps.tenants.selectors import count_people, is_widget_embedded


@dataclass(frozen=True)
class Step:
    name: str
    title: str
    text: str
    url_name: str
    action: str
    is_done: bool


def find_sign_up(*, user_id: UUID) -> SignUp | None:
    """Return a person's newest sign-up."""
    return SignUp.objects.filter(user_id=user_id).order_by("-id").first()


def list_first_steps(*, tenant: TenantRef) -> list[Step]:
    """Return the first steps, each with whether the facts say that it is done."""
    with in_tenant(tenant):
        return [
            Step(
                "knowledge",
                "Add your knowledge",
                "Upload a file, give an address or write an article. The sample articles do not count.",
                "knowledge",
                "Add knowledge",
                has_documents_besides(tenant=tenant, titles=SAMPLE_TITLES),
            ),
            Step(
                "try",
                "Try it",
                "Ask your assistant a question as a customer would, and look at the sources of its answer.",
                "try",
                "Open the chat",
                has_conversations(tenant=tenant),
            ),
            Step(
                "embed",
                "Put the chat on your website",
                "Paste the script tag into your pages; the first of them that shows the chat ticks this.",
                "",
                "",
                is_widget_embedded(tenant=tenant),
            ),
            Step(
                "invite",
                "Invite a colleague",
                "Somebody who answers what the assistant hands over.",
                "team",
                "Invite",
                count_people(tenant=tenant) > 1,
            ),
        ]

"""Who acts on a page, and refusals that call people by their names."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from apps.conversations.selectors import name_people
from apps.resilience.errors import ConflictError
from apps.tenants.dashboard import MemberRequest

ACTOR = re.compile(r"user:[0-9a-f-]{36}|api_key:\w+")


def agent_of(request: MemberRequest) -> str:
    """Name the member as rows keep actors."""
    return f"{request.principal.kind.value}:{request.principal.id}"


def name_of(request: MemberRequest) -> str:
    """Call the member by their name."""
    return request.user.name or request.user.email.partition("@")[0]


@contextmanager
def naming_people() -> Iterator[None]:
    """Let a refusal say "Bea has this conversation" instead of Bea's id."""
    try:
        yield
    except ConflictError as error:
        names = name_people(ACTOR.findall(error.detail))
        raise ConflictError(ACTOR.sub(lambda found: names[found[0]], error.detail)) from error

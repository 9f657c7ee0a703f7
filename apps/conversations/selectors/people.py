"""Who acted, by name: rows keep actors like `user:<id>` or `api_key:<id>`."""

from collections.abc import Iterable
from uuid import UUID

from apps.tenants.selectors import list_user_names


def name_people(actors: Iterable[str]) -> dict[str, str]:
    """Return a name for each actor, in one query; somebody who is gone is called a former colleague."""
    wanted = {actor for actor in actors if actor}
    ids = {actor: found for actor in wanted if (found := _user_id(actor))}
    names = list_user_names(user_ids=set(ids.values())) if ids else {}
    return {actor: _name(actor, ids.get(actor), names) for actor in wanted}


def _user_id(actor: str) -> UUID | None:
    kind, _, given = actor.partition(":")
    try:
        return UUID(given) if kind == "user" else None
    except ValueError:
        return None


def _name(actor: str, user_id: UUID | None, names: dict[UUID, str]) -> str:
    if user_id:
        return names.get(user_id, "A former colleague")
    kind, _, given = actor.partition(":")
    return f"API key {given}" if kind == "api_key" else given or actor

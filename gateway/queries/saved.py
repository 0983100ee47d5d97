"""Searches that a team keeps under a name."""

from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.queries import audit
from yuqing.database.models import SavedSearch
from yuqing.errors import YuqingError

# More than a list that anybody looks through.
MOST = 50


class TooManySearches(YuqingError):
    """The team keeps as many searches as it may."""


@dataclass(frozen=True)
class Saved:
    """A search: `parameters` is the query string of the page."""

    id: int
    name: str
    parameters: str
    author: str


async def saved_searches(connection: AsyncConnection, team_id: int) -> tuple[Saved, ...]:
    """The team's, by name. One statement."""
    columns = (getattr(SavedSearch, name) for name in Saved.__dataclass_fields__)
    statement = select(*columns).where(SavedSearch.team_id == team_id).order_by(SavedSearch.name)
    return tuple(Saved(*row) for row in await connection.execute(statement))


async def save_search(connection: AsyncConnection, team_id: int, actor: str, name: str, parameters: str) -> None:
    """Keep a search, in the place of the one of this name, with its line in the audit log. Raises TooManySearches."""
    count = select(func.count()).where(SavedSearch.team_id == team_id, SavedSearch.name != name)
    if int((await connection.execute(count)).scalar_one()) >= MOST:
        raise TooManySearches(f"the team keeps {MOST} searches already", cure="delete one that nobody needs")
    values = {"team_id": team_id, "name": name, "parameters": parameters, "author": actor}
    new = insert(SavedSearch).values(values)
    await connection.execute(
        new.on_conflict_do_update(index_elements=["team_id", "name"], set_={"parameters": parameters, "author": actor})
    )
    await audit.note(connection, team_id, actor, "search.save", f"search:{name}", {"parameters": parameters})


async def remove_search(connection: AsyncConnection, team_id: int, actor: str, search_id: int) -> bool:
    """Forget one of the team's searches; False when it has none of this id."""
    statement = (
        delete(SavedSearch)
        .where(SavedSearch.team_id == team_id, SavedSearch.id == search_id)
        .returning(SavedSearch.name)
    )
    row = (await connection.execute(statement)).first()
    if row is None:
        return False
    await audit.note(connection, team_id, actor, "search.remove", f"search:{row.name}", {})
    return True

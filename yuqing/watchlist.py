"""The watchlist as the crawler and the speech worker see it: names on S3, written by whoever edits companies."""

import json

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, text

from yuqing.objects import ObjectMissing, ObjectStore

KEY = "watchlist/current.json"


class WatchedCompany(BaseModel):
    """A company's names, and the words in which its name means something else (苹果 in 苹果树)."""

    model_config = ConfigDict(frozen=True)

    id: int
    name: str
    aliases: tuple[str, ...] = ()
    exclude_words: tuple[str, ...] = ()
    query: str | None = None
    """Which documents are about it (yuqing.text.query); without one, those that hold a name."""

    @property
    def names(self) -> tuple[str, ...]:
        """The name and all aliases."""
        return (self.name, *self.aliases)


def from_database(connection: Connection) -> list[WatchedCompany]:
    """The enabled companies of all teams, by id."""
    rows = connection.execute(
        text("SELECT id, name, aliases, exclude_words, query FROM companies WHERE enabled ORDER BY id")
    ).mappings()
    return [WatchedCompany.model_validate(dict(row)) for row in rows]


def publish(connection: Connection, store: ObjectStore) -> list[WatchedCompany]:
    """Write the enabled companies to S3, where the crawler finds them. Call it after the change is committed."""
    companies = from_database(connection)
    content = json.dumps([company.model_dump() for company in companies], ensure_ascii=False, indent=1)
    store.put(KEY, content.encode(), content_type="application/json")
    return companies


def load(store: ObjectStore) -> list[WatchedCompany]:
    """The companies as last published; empty when none ever were. Raises ObjectStoreAway."""
    try:
        return [WatchedCompany.model_validate(item) for item in json.loads(store.get(KEY))]
    except ObjectMissing:
        return []

"""Which documents fit a filter: conditions on `coverage`, and on the words of documents."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    case,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    true,
)
from sqlalchemy.orm import aliased

from gateway.queries.cursors import Cursor, after
from gateway.queries.terms import Terms, matches
from yuqing.contracts import Sentiment
from yuqing.database.models import Coverage, Document

Sort = Literal["time", "relevance", "risk"]


@dataclass(frozen=True)
class DocumentFilter:
    """What to list. `risk` is the lowest level; sentiment, risk and company have to hold of one and the same verdict.

    `collapse` shows of each reprint group only the earliest document that fits.
    """

    company_id: int | None = None
    sentiment: Sentiment | None = None
    risk: int | None = None
    site: str | None = None
    source: str | None = None
    kind: str | None = None
    category: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    terms: Terms | None = None
    collapse: bool = False
    sort: Sort = "time"

    @property
    def ranked(self) -> bool:
        """Whether cursors of this list carry a rank."""
        return self.sort != "time"


# An alias copies every column of its table, which took longer than a list's statements themselves; so they are made once.
OTHER = aliased(Coverage)
_SEEN = aliased(Coverage)
SEARCHED = aliased(Document)


def visible(document: type[Document], team_id: int, company_id: int | None = None) -> ColumnElement[bool]:
    """Whether a document mentions the team's company (this one, or any)."""
    covered = _SEEN
    of_team = [covered.doc_id == document.doc_id, covered.team_id == team_id]
    if company_id is not None:
        of_team.append(covered.company_id == company_id)
    return exists().where(*of_team)


def fits(covered: type[Coverage], team_id: int, wanted: DocumentFilter) -> list[ColumnElement[bool]]:
    """The conditions on a row of coverage; those on words are apart."""
    conditions: list[ColumnElement[bool]] = [covered.team_id == team_id]
    if wanted.company_id is not None:
        conditions.append(covered.company_id == wanted.company_id)
    if wanted.sentiment is not None:
        conditions.append(covered.sentiment == wanted.sentiment)
    if wanted.risk is not None:
        conditions.append(covered.risk_level >= wanted.risk)
    if wanted.category is not None:
        conditions.append(covered.category == wanted.category)
    if wanted.site is not None:
        conditions.append(covered.site == wanted.site)
    if wanted.source is not None:
        conditions.append(covered.source == wanted.source)
    if wanted.kind is not None:
        conditions.append(covered.kind == wanted.kind)
    if wanted.since is not None:
        conditions.append(covered.time >= wanted.since)
    if wanted.until is not None:
        conditions.append(covered.time < wanted.until)
    return conditions


def holds(wanted: DocumentFilter, doc_id: Any) -> ColumnElement[bool]:
    """Whether the document of this id holds the words."""
    assert wanted.terms is not None
    document = SEARCHED
    return exists().where(
        document.doc_id == doc_id, matches(wanted.terms, document.search, document.title, document.text)
    )


def earlier_fits(covered: Any, team_id: int, wanted: DocumentFilter) -> ColumnElement[bool]:
    """Whether an earlier document of the same reprint group is in the list too."""
    other = OTHER
    earlier = or_(
        other.time < covered.time,
        and_(other.time == covered.time, other.doc_id < covered.doc_id),
    )
    conditions = [other.group_id == covered.group_id, earlier, *fits(other, team_id, wanted)]
    if wanted.terms is not None:
        conditions.append(holds(wanted, other.doc_id))
    return lazily(select(literal(1)).where(*conditions))


def lazily(statement: Select[Any]) -> ColumnElement[bool]:
    """Whether the correlated statement has a row, asked row by row: EXISTS becomes a join over all rows before the first.

    In a CASE, because the planner takes NULL for rare, and then sorts everything to find enough of it.
    """
    return case((statement.limit(1).scalar_subquery().is_not(None), true()), else_=false())


def keys_of(team_id: int, wanted: DocumentFilter, cursor: Cursor | None) -> Select[Any]:
    """(time, doc_id, group_id) of the documents that fit but for their words, newest first, each once."""
    covered = Coverage
    columns: tuple[Any, ...] = (covered.time, covered.doc_id, covered.group_id)
    statement = select(*columns).where(*fits(covered, team_id, wanted))
    if wanted.company_id is None:
        statement = statement.distinct()  # over a sorted index: it stops early
    if cursor is not None:
        statement = statement.where(after(cursor, covered.time, covered.doc_id))
    return statement.order_by(covered.time.desc(), covered.doc_id)


def time_of(document: type[Document]) -> ColumnElement[datetime]:
    """The time by which lists are sorted; the same expression as in the index."""
    return func.coalesce(document.published_at, document.first_seen)


def searchable(document: type[Document]) -> ColumnElement[Any]:
    """What the index of bigrams holds of a document: its bigrams, and the stretches of time that it lies in."""
    return func.search_in_time(document.search, time_of(document))

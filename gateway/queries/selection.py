"""Which documents fit a filter, in which order: keys alone, from `coverage`; the rows are read for one page only.

Words are searched newest-first with an early stop: the team's latest documents are walked in the order of the list, which
ends at once for words that are common; only for words that are rare there is the index of bigrams asked, and then
it has few answers to sort. Either way alone fails: the index returns every third document of the database for 公司,
and a walk passes a million of them to find a word that stands in ten.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    and_,
    case,
    cast,
    exists,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased

from gateway.queries.cursors import Cursor, after
from gateway.queries.terms import Terms, matches, rechecks, times_in
from yuqing.contracts import Sentiment
from yuqing.database.models import Coverage, Document

Sort = Literal["time", "relevance", "risk"]

# Documents that are walked before the index is asked. A word in 1.5 % of them fills a page of 30 from so many; the rest
# are rare enough to be sorted. Reading the bigrams of one document takes about 15 microseconds.
WALK = 2000
# By relevance the latest so many matches are ranked; nobody reads on to the next.
RANKED = 500


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
_OTHER = aliased(Coverage)
_SEEN = aliased(Coverage)
_RISKIER = aliased(Coverage)
_SEARCHED = aliased(Document)


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
    document = _SEARCHED
    return exists().where(
        document.doc_id == doc_id, matches(wanted.terms, document.search, document.title, document.text)
    )


def earlier_fits(covered: Any, team_id: int, wanted: DocumentFilter) -> ColumnElement[bool]:
    """Whether an earlier document of the same reprint group is in the list too."""
    other = _OTHER
    earlier = or_(
        other.first_seen < covered.first_seen,
        and_(other.first_seen == covered.first_seen, other.doc_id < covered.doc_id),
    )
    conditions = [other.group_id == covered.group_id, earlier, *fits(other, team_id, wanted)]
    if wanted.terms is not None:
        conditions.append(holds(wanted, other.doc_id))
    return _lazily(select(literal(1)).where(*conditions))


def _lazily(statement: Select[Any]) -> ColumnElement[bool]:
    """Whether the correlated statement has a row, asked row by row: EXISTS becomes a join over all rows before the first.

    In a CASE, because the planner takes NULL for rare, and then sorts everything to find enough of it.
    """
    return case((statement.limit(1).scalar_subquery().is_not(None), true()), else_=false())


def _keys(team_id: int, wanted: DocumentFilter, cursor: Cursor | None) -> Select[Any]:
    """(time, doc_id, first_seen, group_id) of the documents that fit but for their words, newest first, each once."""
    covered = Coverage
    columns: tuple[Any, ...] = (covered.time, covered.doc_id, covered.first_seen, covered.group_id)
    statement = select(*columns).where(*fits(covered, team_id, wanted))
    if wanted.company_id is None:
        statement = statement.distinct()  # over a sorted index: it stops early
    if cursor is not None:
        statement = statement.where(after(cursor, covered.time, covered.doc_id))
    return statement.order_by(covered.time.desc(), covered.doc_id)


async def _by_time(
    connection: AsyncConnection, team_id: int, wanted: DocumentFilter, limit: int, cursor: Cursor | None
) -> list[Cursor]:
    keys = _keys(team_id, wanted, cursor)
    if wanted.terms is None:
        if not wanted.collapse:
            return await _read(connection, keys.limit(limit))
        return await _first_of_groups(connection, team_id, wanted, keys, limit)
    walked = keys.limit(WALK).subquery("walked")
    answer = await _read(connection, _matching(walked, team_id, wanted, limit))
    if len(answer) == limit:
        return answer
    last = (await connection.execute(keys.offset(WALK - 1).limit(1))).first()
    if last is None:
        return answer  # there are no others
    rest = _hits(team_id, wanted, Cursor(last.time, last.doc_id), limit - len(answer))
    return answer + await _read(connection, rest)


async def _first_of_groups(
    connection: AsyncConnection, team_id: int, wanted: DocumentFilter, keys: Select[Any], limit: int
) -> list[Cursor]:
    # Among the latest so many; a team's documents that are nearly all reprints of earlier ones take a second look.
    size = limit * 20
    while True:
        found = keys.limit(size).subquery("found")
        statement = select(found).where(not_(earlier_fits(found.c, team_id, wanted)))
        answer = await _read(connection, statement.order_by(found.c.time.desc(), found.c.doc_id).limit(limit))
        if len(answer) == limit or (await connection.execute(keys.offset(size - 1).limit(1))).first() is None:
            return answer
        size *= 20


def _hits(team_id: int, wanted: DocumentFilter, start: Cursor, limit: int) -> Select[Any]:
    """The documents behind `start` by the index of bigrams, sorted, and then looked at one by one until there are enough."""
    assert wanted.terms is not None
    document, time = _SEARCHED, time_of(_SEARCHED)
    found = (
        select(document.doc_id, time.label("time"), document.first_seen, document.group_id)
        .where(document.search.op("@@")(wanted.terms.as_tsquery()), after(start, time, document.doc_id))
        .cte("found")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    # OFFSET keeps the conditions out: they are asked of sorted rows, and the LIMIT ends it.
    hits = select(found).order_by(found.c.time.desc(), found.c.doc_id).offset(0).subquery("hits")
    covered = _OTHER
    statement = select(hits).where(
        _lazily(select(literal(1)).where(covered.doc_id == hits.c.doc_id, *fits(covered, team_id, wanted)))
    )
    if wanted.terms.rechecked:
        statement = statement.where(_lazily(select(literal(1)).where(_stands(wanted.terms, hits.c.doc_id))))
    if wanted.collapse:
        statement = statement.where(not_(earlier_fits(hits.c, team_id, wanted)))
    return statement.order_by(hits.c.time.desc(), hits.c.doc_id).limit(limit)


def _stands(terms: Terms, doc_id: Any) -> ColumnElement[bool]:
    """Whether the words that bigrams cannot vouch for stand in the document."""
    return and_(Document.doc_id == doc_id, *rechecks(terms, Document.title, Document.text))


def _matching(keys: Any, team_id: int, wanted: DocumentFilter, limit: int) -> Select[Any]:
    statement = select(keys).where(holds(wanted, keys.c.doc_id))
    if wanted.collapse:
        statement = statement.where(not_(earlier_fits(keys.c, team_id, wanted)))
    return statement.order_by(keys.c.time.desc(), keys.c.doc_id).limit(limit)


async def _by_risk(
    connection: AsyncConnection, team_id: int, wanted: DocumentFilter, limit: int, cursor: Cursor | None
) -> list[Cursor]:
    covered, other = Coverage, _RISKIER
    # The index holds this very expression.
    risk, others = (func.coalesce(cast(row.risk_level, Integer), -1) for row in (covered, other))
    riskier = exists().where(
        other.doc_id == covered.doc_id,
        *fits(other, team_id, wanted),
        or_(others > risk, and_(others == risk, other.company_id < covered.company_id)),
    )
    statement = select(covered.time, covered.doc_id, risk.label("rank")).where(
        *fits(covered, team_id, wanted), not_(riskier)
    )
    if wanted.terms is not None:
        statement = statement.where(holds(wanted, covered.doc_id))
    if wanted.collapse:
        statement = statement.where(not_(earlier_fits(covered, team_id, wanted)))
    if cursor is not None:
        assert cursor.rank is not None
        behind = and_(risk == cursor.rank, after(cursor, covered.time, covered.doc_id))
        statement = statement.where(risk <= cursor.rank, or_(risk < cursor.rank, behind))
    rows = await connection.execute(statement.order_by(risk.desc(), covered.time.desc(), covered.doc_id).limit(limit))
    return [Cursor(row.time, row.doc_id, row.rank) for row in rows]


async def _by_relevance(
    connection: AsyncConnection, team_id: int, wanted: DocumentFilter, limit: int, cursor: Cursor | None
) -> list[Cursor]:
    """The latest RANKED matches: words in the title count five times, then how often they stand in the text.

    Divided by the square root of its length, so that long texts do not win by length alone.
    """
    assert wanted.terms is not None
    start = 0 if cursor is None or cursor.rank is None else cursor.rank + 1
    found = await _by_time(connection, team_id, wanted, RANKED, None)
    scores: dict[str, float] = {}
    if found:
        counts = [(times_in(Document.title, word) * 5 + times_in(Document.text, word)) for word in wanted.terms.words]
        total = sum(counts[1:], counts[0])
        score = total / func.sqrt(func.greatest(func.length(Document.text), 100))
        statement = select(Document.doc_id, score).where(Document.doc_id.in_([key.doc_id for key in found]))
        scores = {doc_id: float(value) for doc_id, value in await connection.execute(statement)}
    ranked = sorted(found, key=lambda key: (-scores.get(key.doc_id, 0), -key.time.timestamp(), key.doc_id))
    return [Cursor(key.time, key.doc_id, place) for place, key in enumerate(ranked[start : start + limit], start)]


async def select_keys(
    connection: AsyncConnection, team_id: int, wanted: DocumentFilter, *, limit: int, cursor: Cursor | None
) -> Sequence[Cursor]:
    """The keys of the next `limit` documents in the list's order: one statement, with words up to three (or four)."""
    by = {"time": _by_time, "risk": _by_risk, "relevance": _by_relevance}[wanted.sort]
    return await by(connection, team_id, wanted, limit, cursor)


async def _read(connection: AsyncConnection, statement: Select[Any]) -> list[Cursor]:
    return [Cursor(row.time, row.doc_id) for row in await connection.execute(statement)]


def time_of(document: type[Document]) -> ColumnElement[datetime]:
    """The time by which lists are sorted; the same expression as in the index."""
    return func.coalesce(document.published_at, document.first_seen)

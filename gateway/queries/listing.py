"""The pages of a list, in each of its orders: keys alone, from `coverage`; the rows are read for one page only.

Words are searched newest-first with an early stop: the team's latest documents are walked in the order of the list, which
ends at once for words that are common. Then the index of bigrams is asked, stretch by stretch back in time (see
`stretches`), so that it never returns many more than a page needs, however many documents there are. Either way alone
fails: the index returns every third document of the database for 公司, and a walk passes a million of them to find a word
that stands in ten.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Integer,
    Select,
    String,
    and_,
    bindparam,
    cast,
    exists,
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased

from gateway.queries.compiled import Compiled, compiled, run
from gateway.queries.cursors import Cursor, after
from gateway.queries.selection import (
    OTHER,
    SEARCHED,
    DocumentFilter,
    earlier_fits,
    fits,
    holds,
    keys_of,
    lazily,
    searchable,
    time_of,
)
from gateway.queries.stretches import Stretch, stretches
from gateway.queries.terms import Terms, rechecks, times_in
from yuqing.database.models import Coverage, Document

# Documents that are walked before the index is asked; to read the bigrams of one takes about 15 microseconds. A word in a
# tenth of them fills a page of 30 from so many.
WALK = 300
# With other conditions, too, the index returns many that do not fit them: rather walk on.
WALK_FILTERED = 2000
# By relevance the latest so many matches are ranked; nobody reads on to the next.
RANKED = 500

_RISKIER = aliased(Coverage)
_CONDITIONS = ("company_id", "sentiment", "risk", "site", "source", "kind", "category", "since", "until")
_TEAM: Any = bindparam("team_id", type_=Integer)


def keys_alone(keys: Select[Any]) -> Select[Any]:
    """A page's keys as they are; see `read_page`."""
    return keys


@lru_cache(maxsize=1024)
def _page(
    given: tuple[str, ...], continued: bool, limit: int, among: int | None, shown: Callable[[Select[Any]], Select[Any]]
) -> Compiled:
    """A page without words: with the conditions that are `given`, from the start or behind a cursor.

    Limits stand in the text, so that the database can plan for them once and for all.
    """
    symbols: dict[str, Any] = {name: bindparam(name) for name in given}
    wanted = DocumentFilter(**symbols)
    time: Any = bindparam("cursor_time", type_=DateTime(timezone=True))
    doc_id: Any = bindparam("cursor_doc_id", type_=String)
    keys = keys_of(_TEAM, wanted, Cursor(time, doc_id) if continued else None)
    if among is not None:
        found = keys.limit(literal_column(str(among))).subquery("found")
        keys = select(found).where(not_(earlier_fits(found.c, _TEAM, wanted)))
        keys = keys.order_by(found.c.time.desc(), found.c.doc_id)
    return compiled(shown(keys.limit(literal_column(str(limit)))))


async def read_page(
    connection: AsyncConnection,
    team_id: int,
    wanted: DocumentFilter,
    limit: int,
    cursor: Cursor | None,
    shown: Callable[[Select[Any]], Select[Any]],
) -> list[tuple[Any, ...]]:
    """The first `limit` rows of a list by time without words; `shown` makes of a statement for keys one for rows."""
    given = {name: value for name in _CONDITIONS if (value := getattr(wanted, name)) is not None}
    values = {**given, "team_id": team_id}
    if cursor is not None:
        values |= {"cursor_time": cursor.time, "cursor_doc_id": cursor.doc_id}
    # Among the latest so many; a team's documents that are nearly all reprints of earlier ones take a second look.
    among = limit * 20 if wanted.collapse else None
    while True:
        rows = await run(connection, _page(tuple(given), cursor is not None, limit, among, shown), values)
        if among is None or len(rows) == limit:
            return rows
        keys = keys_of(team_id, wanted, cursor)
        if (await connection.execute(keys.offset(among - 1).limit(1))).first() is None:
            return rows
        among *= 20


async def _by_time(
    connection: AsyncConnection, team_id: int, wanted: DocumentFilter, limit: int, cursor: Cursor | None
) -> list[Cursor]:
    if wanted.terms is None:
        rows = await read_page(connection, team_id, wanted, limit, cursor, keys_alone)
        return [Cursor(*row[:2]) for row in rows]
    keys, walk = keys_of(team_id, wanted, cursor), _walk(wanted)
    walked = keys.limit(walk).subquery("walked")
    answer = await _read(connection, _matching(walked, team_id, wanted, limit))
    if len(answer) == limit:
        return answer
    last = (await connection.execute(keys.offset(walk - 1).limit(1))).first()
    if last is None:
        return answer  # there are no others
    start = Cursor(last.time, last.doc_id)
    for stretch in stretches(start.time):
        answer += await _read(connection, _hits(team_id, wanted, start, stretch, limit - len(answer)))
        if len(answer) == limit or (wanted.since is not None and stretch.since <= wanted.since):
            break
    return answer


def _walk(wanted: DocumentFilter) -> int:
    """How many documents to walk before the index is asked, which knows nothing of the other conditions."""
    alone = all(getattr(wanted, name) is None for name in _CONDITIONS if name not in ("since", "until"))
    return WALK if alone else WALK_FILTERED


def _hits(team_id: int, wanted: DocumentFilter, start: Cursor, stretch: Stretch, limit: int) -> Select[Any]:
    """The documents of a stretch behind `start` by the index, sorted, and looked at one by one until there are enough."""
    assert wanted.terms is not None
    document, time = SEARCHED, time_of(SEARCHED)
    conditions = [stretch.holds(wanted.terms, searchable(document)), after(start, time, document.doc_id)]
    if stretch.until is not None:
        conditions.append(time < stretch.until)
    if wanted.since is not None:
        conditions.append(time >= wanted.since)
    found = (
        select(document.doc_id, time.label("time"), document.group_id)
        .where(*conditions)
        .cte("found")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    # OFFSET keeps the conditions out: they are asked of sorted rows, and the LIMIT ends it.
    hits = select(found).order_by(found.c.time.desc(), found.c.doc_id).offset(0).subquery("hits")
    covered = OTHER
    statement = select(hits).where(
        lazily(select(literal(1)).where(covered.doc_id == hits.c.doc_id, *fits(covered, team_id, wanted)))
    )
    if wanted.terms.rechecked:
        statement = statement.where(lazily(select(literal(1)).where(_stands(wanted.terms, hits.c.doc_id))))
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
    if cursor is not None:
        assert cursor.rank is not None
        behind = and_(risk == cursor.rank, after(cursor, covered.time, covered.doc_id))
        statement = statement.where(risk <= cursor.rank, or_(risk < cursor.rank, behind))
    order = (risk.desc(), covered.time.desc(), covered.doc_id)
    collapsed = [not_(earlier_fits(covered, team_id, wanted))] if wanted.collapse else []
    if wanted.terms is None:
        rows = (await connection.execute(statement.where(*collapsed).order_by(*order).limit(limit))).all()
        return [Cursor(row.time, row.doc_id, row.rank) for row in rows]
    # Common words are soon found among the riskiest; of others the index has all, and they are few enough to be sorted.
    walked = statement.add_columns(covered.group_id).order_by(*order).limit(WALK_FILTERED).subquery("walked")
    early = select(walked).where(holds(wanted, walked.c.doc_id)).limit(limit)
    if wanted.collapse:
        early = early.where(not_(earlier_fits(walked.c, team_id, wanted)))
    early = early.order_by(walked.c.rank.desc(), walked.c.time.desc(), walked.c.doc_id)
    rows = (await connection.execute(early)).all()
    if len(rows) < limit:
        document = SEARCHED
        words = [searchable(document).op("@@")(wanted.terms.as_tsquery())]
        found = select(document.doc_id).where(*words, *rechecks(wanted.terms, document.title, document.text))
        hits = found.cte("found").prefix_with("MATERIALIZED", dialect="postgresql")
        late = statement.where(covered.doc_id.in_(select(hits.c.doc_id)), *collapsed).order_by(*order).limit(limit)
        rows = (await connection.execute(late)).all()
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
    """The keys of the next `limit` documents in the list's order: one statement, with words up to six (or seven)."""
    by = {"time": _by_time, "risk": _by_risk, "relevance": _by_relevance}[wanted.sort]
    return await by(connection, team_id, wanted, limit, cursor)


async def _read(connection: AsyncConnection, statement: Select[Any]) -> list[Cursor]:
    return [Cursor(row.time, row.doc_id) for row in await connection.execute(statement)]

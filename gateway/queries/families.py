"""Reprint families (转载): one text in many media. Who had it first, how it spread, whom it reached."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Float, cast, func, literal, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.media_weights import ORDINARY
from gateway.queries.selection import DocumentFilter, fits
from yuqing.database.models import Coverage, Document


@dataclass(frozen=True)
class First:
    """The family's earliest document that the team may see."""

    doc_id: str
    title: str
    site: str
    source: str | None
    time: datetime


@dataclass(frozen=True)
class Family:
    """A text with its reprints. `reach` is the sum of the weights of its sites, each once; `risk` is the highest."""

    group_id: str
    first: First
    documents: int
    sites: int
    reach: float
    latest: datetime
    hours: float
    risk: int | None


@dataclass(frozen=True)
class Step:
    """A document of a family: when it came after the first, and the reach up to it."""

    doc_id: str
    title: str
    site: str
    source: str | None
    time: datetime
    hours_after: float
    weight: float
    reach: float


@dataclass(frozen=True)
class Spread:
    """A family's way through the media in order of time; `half_reach_hours`: when it had half of its reach."""

    group_id: str
    documents: int
    sites: int
    reach: float
    half_reach_hours: float
    steps: tuple[Step, ...]


def _hours(start: datetime, end: datetime) -> float:
    return round((end - start).total_seconds() / 3600, 2)


async def top_families(
    connection: AsyncConnection, team_id: int, wanted: DocumentFilter, weights: Mapping[str, float], *, limit: int
) -> tuple[Family, ...]:
    """The families with the widest reach in the period, of two documents and more. Two statements."""
    columns = (Coverage.group_id, Coverage.doc_id, Coverage.site, Coverage.time, Coverage.risk_level)
    covered = (
        select(*columns)
        .where(*fits(Coverage, team_id, wanted))
        .cte("rows")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    # Most texts are in one document: they are left out before anything else is counted, and nothing is sorted for it.
    reprinted = (
        select(covered.c.group_id)
        .group_by(covered.c.group_id)
        .having(func.min(covered.c.doc_id) < func.max(covered.c.doc_id))
    )
    per_site = (
        select(
            covered.c.group_id,
            covered.c.site,
            func.count(covered.c.doc_id.distinct()).label("documents"),
            func.min(covered.c.time).label("first"),
            func.max(covered.c.time).label("latest"),
            func.max(covered.c.risk_level).label("risk"),
        )
        .where(covered.c.group_id.in_(reprinted))
        .group_by(covered.c.group_id, covered.c.site)
        .subquery()
    )
    # One value, however many media: the statement's text stays the same, and is compiled once.
    weighed = literal(dict(weights), JSONB)
    weight = func.coalesce(cast(weighed[per_site.c.site].astext, Float), ORDINARY)
    reach = func.sum(weight)
    statement = (
        select(
            per_site.c.group_id,
            func.sum(per_site.c.documents),
            func.count(),
            reach,
            func.min(per_site.c.first),
            func.max(per_site.c.latest),
            func.max(per_site.c.risk),
        )
        .group_by(per_site.c.group_id)
        .order_by(reach.desc(), func.max(per_site.c.latest).desc(), per_site.c.group_id)
        .limit(limit)
    )
    rows = (await connection.execute(statement)).all()
    firsts = await _firsts(connection, team_id, [row[0] for row in rows])
    return tuple(
        Family(
            group_id,
            firsts[group_id],
            int(documents),
            sites,
            round(float(total), 3),
            latest,
            _hours(first, latest),
            risk,
        )
        for group_id, documents, sites, total, first, latest, risk in rows
        if group_id in firsts
    )


async def _firsts(connection: AsyncConnection, team_id: int, groups: Sequence[str]) -> dict[str, First]:
    if not groups:
        return {}
    statement = (
        select(Coverage.group_id, Coverage.doc_id, Document.title, Coverage.site, Coverage.source, Coverage.time)
        .join(Document, Document.doc_id == Coverage.doc_id)
        .where(Coverage.team_id == team_id, Coverage.group_id.in_(groups))
        .order_by(Coverage.group_id, Coverage.time, Coverage.doc_id)
        .distinct(Coverage.group_id)
    )
    return {row[0]: First(*row[1:]) for row in await connection.execute(statement)}


async def spread(
    connection: AsyncConnection, team_id: int, doc_id: str, weights: Mapping[str, float], *, limit: int
) -> Spread | None:
    """The family of a document that the team may see, its first `limit` documents; None otherwise. One statement."""
    own = (
        select(Coverage.group_id).where(Coverage.doc_id == doc_id, Coverage.team_id == team_id).limit(1).subquery("own")
    )
    statement = (
        select(Coverage.group_id, Coverage.doc_id, Document.title, Coverage.site, Coverage.source, Coverage.time)
        .join(own, own.c.group_id == Coverage.group_id)
        .join(Document, Document.doc_id == Coverage.doc_id)
        .where(Coverage.team_id == team_id)
        .order_by(Coverage.time, Coverage.doc_id)
        .distinct()
        .limit(limit)
    )
    rows = (await connection.execute(statement)).all()
    if not rows:
        return None
    first = rows[0].time
    reach, seen, steps = 0.0, set(), []
    for row in rows:
        weight = weights.get(row.site, ORDINARY)
        reach += 0 if row.site in seen else weight
        seen.add(row.site)
        steps.append(
            Step(
                row.doc_id, row.title, row.site, row.source, row.time, _hours(first, row.time), weight, round(reach, 3)
            )
        )
    half = next(step.hours_after for step in steps if step.reach >= reach / 2)
    return Spread(rows[0].group_id, len(steps), len(seen), round(reach, 3), half, tuple(steps))

"""Texts that a job analyses: the batches of a team, their questions and answers; and a stored document as a question."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.queries.selection import visible
from yuqing.database.models import AnalysisBatch, AnalysisItem, Company, Document, MentionRow


@dataclass(frozen=True)
class Batch:
    """How far a batch is: `answered` of `total` texts, and `failed` ones that cannot be analysed."""

    id: int
    state: Literal["waiting", "running", "done"]
    created_at: datetime
    finished_at: datetime | None
    total: int
    answered: int
    failed: int


@dataclass(frozen=True)
class BatchAnswer:
    """The answer to the text at `place` (from 0), or why there is none; neither while it waits."""

    place: int
    doc_id: str | None
    answer: dict[str, Any] | None
    problem: dict[str, Any] | None


@dataclass(frozen=True)
class BatchAnswers:
    """A page of answers in the order of the questions; `next_after` is None on the last page."""

    items: tuple[BatchAnswer, ...]
    next_after: int | None


@dataclass(frozen=True)
class Subject:
    """A document to be analysed: the team's companies in it, each with the other names that it uses for them."""

    title: str
    text: str
    companies: dict[str, tuple[str, ...]]


async def subject_of(connection: AsyncConnection, team_id: int, doc_id: str) -> Subject | None:
    """The document, if it mentions a company of the team."""
    one = select(Document.title, Document.text, Document.content_hash).where(
        Document.doc_id == doc_id, visible(Document, team_id)
    )
    row = (await connection.execute(one)).first()
    if row is None:
        return None
    mentions = (
        select(Company.name, MentionRow.spans)
        .join(Company, Company.id == MentionRow.company_id)
        .where(Company.team_id == team_id, MentionRow.doc_id == doc_id, MentionRow.content_hash == row.content_hash)
        .order_by(MentionRow.relevance.desc(), Company.id)
    )
    companies = {
        name: tuple(dict.fromkeys(str(span["name"]) for span in spans if span["name"] != name))
        for name, spans in await connection.execute(mentions)
    }
    return Subject(row.title, row.text, companies)


async def insert_batch(
    connection: AsyncConnection, team_id: int, actor: str, questions: Sequence[dict[str, Any]]
) -> int:
    """Store a batch; returns its id."""
    new = insert(AnalysisBatch).values(team_id=team_id, actor=actor).returning(AnalysisBatch.id)
    batch_id = int((await connection.execute(new)).scalar_one())
    items = [{"batch_id": batch_id, "place": place, "question": question} for place, question in enumerate(questions)]
    await connection.execute(insert(AnalysisItem), items)
    return batch_id


async def list_batches(
    connection: AsyncConnection, team_id: int, *, batch_id: int | None = None, limit: int = 1
) -> tuple[Batch, ...]:
    """The team's batches (or this one), newest first."""
    batches = select(AnalysisBatch).where(AnalysisBatch.team_id == team_id)
    if batch_id is not None:
        batches = batches.where(AnalysisBatch.id == batch_id)
    listed = batches.order_by(AnalysisBatch.id.desc()).limit(limit).subquery()
    item = AnalysisItem
    statement = (
        select(
            listed.c.id,
            listed.c.created_at,
            func.count().label("total"),
            func.count(item.answer).label("answered"),
            func.count(item.problem).label("failed"),
            func.max(item.answered_at).label("last"),
        )
        .join(item, item.batch_id == listed.c.id)
        .group_by(listed.c.id, listed.c.created_at)
        .order_by(listed.c.id.desc())
    )
    return tuple(
        _batch(row.id, row.created_at, row.total, row.answered, row.failed, row.last)
        for row in await connection.execute(statement)
    )


def _batch(batch_id: int, created_at: datetime, total: int, answered: int, failed: int, last: datetime | None) -> Batch:
    tried = answered + failed
    state: Literal["waiting", "running", "done"] = "done" if tried == total else "running" if tried else "waiting"
    return Batch(batch_id, state, created_at, last if state == "done" else None, total, answered, failed)


async def batch_answers(connection: AsyncConnection, batch_id: int, after: int, limit: int) -> BatchAnswers:
    """A page of a batch's answers, behind the place `after`."""
    item = AnalysisItem
    statement = (
        select(item.place, item.question["doc_id"].astext.label("doc_id"), item.answer, item.problem)
        .where(item.batch_id == batch_id, item.place > after)
        .order_by(item.place)
        .limit(limit + 1)
    )
    rows = [BatchAnswer(*row) for row in await connection.execute(statement)]
    return BatchAnswers(tuple(rows[:limit]), rows[limit - 1].place if len(rows) > limit else None)


async def delete_batch(connection: AsyncConnection, team_id: int, batch_id: int) -> bool:
    """Forget a batch, its texts and answers; False when the team has none of this number."""
    gone = delete(AnalysisBatch).where(AnalysisBatch.team_id == team_id, AnalysisBatch.id == batch_id)
    return bool((await connection.execute(gone)).rowcount)


async def open_questions(
    connection: AsyncConnection, batch_id: int, limit: int
) -> tuple[int, list[tuple[int, dict[str, Any]]]]:
    """(the batch's team, [(place, question)] that have not been tried); (0, []) for a batch that was deleted."""
    item = AnalysisItem
    team = (await connection.execute(select(AnalysisBatch.team_id).where(AnalysisBatch.id == batch_id))).scalar()
    statement = (
        select(item.place, item.question)
        .where(item.batch_id == batch_id, item.answered_at.is_(None))
        .order_by(item.place)
        .limit(limit)
    )
    return team or 0, [(place, question) for place, question in await connection.execute(statement)]


async def settle_question(
    connection: AsyncConnection,
    batch_id: int,
    place: int,
    answer: dict[str, Any] | None,
    problem: dict[str, Any] | None,
) -> None:
    """Keep the answer, or why there is none; the first one stays."""
    item = AnalysisItem
    values: dict[str, Any] = {"answered_at": func.now()}
    # None would be stored as JSON's null.
    values |= {"answer": answer} if answer is not None else {"problem": problem}
    await connection.execute(
        update(item).where(item.batch_id == batch_id, item.place == place, item.answered_at.is_(None)).values(values)
    )

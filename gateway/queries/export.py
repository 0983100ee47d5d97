"""The rows of an export: one for each company in each document, read as a stream."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, literal, not_, null, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.queries.selection import DocumentFilter, earlier_fits, fits, holds
from yuqing.database.models import Company, Coverage, Document, DocumentAnalysisRow

# Rows fetched and written at once: a few milliseconds of work, so that other requests have their turn between.
BATCH = 500


@dataclass(frozen=True)
class ExportRow:
    """A company in a document. `text` is None unless asked for; sentiment to risk are the verdict that is shown."""

    doc_id: str
    time: datetime
    site: str
    source: str | None
    kind: str
    title: str
    url: str
    company: str
    relevance: float
    sentiment: str | None
    score: float | None
    confidence: float | None
    risk_level: int | None
    corrected: bool
    category: str | None
    summary: str | None
    keywords: str | None
    group_id: str
    text: str | None


async def export_rows(
    connection: AsyncConnection, team_id: int, wanted: DocumentFilter, *, with_text: bool
) -> AsyncIterator[Sequence[Sequence[Any]]]:
    """Batches of rows, newest document first: the fields of an ExportRow; keywords are apart by "、". One statement, a cursor.

    Sentiment, risk and company of the filter are those of the row itself. `sort` is not looked at. The database reads the
    next batch while the caller writes one.
    """
    statement = (
        select(
            Coverage.doc_id,
            Coverage.time,
            Coverage.site,
            Coverage.source,
            Coverage.kind,
            Document.title,
            Document.url,
            Company.name,
            Coverage.relevance,
            Coverage.sentiment,
            Coverage.score,
            Coverage.confidence,
            Coverage.risk_level,
            Coverage.corrected,
            Coverage.category,
            DocumentAnalysisRow.summary,
            func.array_to_string(DocumentAnalysisRow.keywords, literal("、")),
            Coverage.group_id,
            Document.text if with_text else null(),
        )
        .join(Document, Document.doc_id == Coverage.doc_id)
        .join(Company, Company.id == Coverage.company_id)
        .outerjoin(DocumentAnalysisRow, DocumentAnalysisRow.doc_id == Coverage.doc_id)
        .where(*fits(Coverage, team_id, wanted))
        .order_by(Coverage.time.desc(), Coverage.doc_id, Coverage.company_id)
    )
    if wanted.terms is not None:
        statement = statement.where(holds(wanted, Coverage.doc_id))
    if wanted.collapse:
        statement = statement.where(not_(earlier_fits(Coverage, team_id, wanted)))
    result = await connection.stream(statement.execution_options(yield_per=BATCH))
    batches = result.partitions(BATCH)
    ahead = asyncio.create_task(_next(batches))
    try:
        while rows := await ahead:
            ahead = asyncio.create_task(_next(batches))
            await asyncio.sleep(0)  # it asks now
            yield rows
    finally:
        await asyncio.wait([ahead])  # nobody else may use the connection before


async def _next(batches: AsyncIterator[Sequence[Sequence[Any]]]) -> Sequence[Sequence[Any]]:
    async for rows in batches:
        return rows
    return ()

"""Analysts' corrections out of their table, in the shape in which the gateway exports them."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Engine, func, select

from yuqing.database.corrections import JUDGED_TEXT, JUDGED_TITLE, with_judged_text
from yuqing.database.models import Company, Correction, DocumentAnalysisRow, Team


def read_corrections(pool: Engine, team: str | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """The last word on each corrected verdict (none that was withdrawn or handed down to a reprint), with the text that it
    is about and what the analysis says of the document; oldest first, as (place, record).
    """
    last = (
        select(func.max(Correction.id))
        .group_by(Correction.doc_id, Correction.company_id, Correction.content_hash)
        .scalar_subquery()
    )
    statement = with_judged_text(
        select(
            Correction.id,
            Correction.doc_id,
            Correction.content_hash,
            Company.name.label("company"),
            JUDGED_TITLE,
            JUDGED_TEXT,
            Correction.sentiment,
            Correction.risk_level,
            Correction.risk_types,
            Correction.evidence,
            DocumentAnalysisRow.sentiment.label("document_sentiment"),
        )
        .join(Company, Company.id == Correction.company_id)
        .join(Team, Team.id == Correction.team_id)
        .outerjoin(
            DocumentAnalysisRow,
            (DocumentAnalysisRow.doc_id == Correction.doc_id)
            & (DocumentAnalysisRow.content_hash == Correction.content_hash),
        )
        .where(Correction.id.in_(last))
        .order_by(Correction.id)
    )
    if team is not None:
        statement = statement.where(Team.name == team)
    with pool.connect() as connection:
        for row in connection.execution_options(yield_per=500).execute(statement).mappings():
            yield f"correction {row['id']}", dict(row)

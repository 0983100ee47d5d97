"""Corrections: versions of what analysts say of a company in a document, and the training data that they make."""

from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.queries.verdicts import CompanyVerdict, Quote, verdict_of
from yuqing.contracts import Sentiment
from yuqing.database.corrections import HANDED_DOWN, JUDGED_TEXT, JUDGED_TITLE, with_judged_text
from yuqing.database.models import Company, Correction, Document, DocumentVersion, VerdictRow
from yuqing.errors import YuqingError


@dataclass(frozen=True)
class NewCorrection:
    """What an analyst says; `evidence` are quotes at their places in the text of the version that was judged."""

    sentiment: Sentiment
    risk_level: int
    risk_types: tuple[str, ...]
    evidence: tuple[Quote, ...]
    reason: str
    withdrawn: bool = False


@dataclass(frozen=True)
class CorrectionVersion:
    """One step of a verdict's history; a `withdrawn` one gives the word back to the model."""

    version: int
    content_hash: str
    withdrawn: bool
    sentiment: Sentiment
    risk_level: int
    risk_types: tuple[str, ...]
    evidence: tuple[Quote, ...]
    reason: str
    author: str
    created_at: datetime
    replaced: dict[str, Any]


@dataclass(frozen=True)
class JudgedText:
    """The title and text that a verdict is about; `segments` are those of a transcript."""

    title: str
    text: str
    segments: tuple[dict[str, Any], ...]


class QuoteMissing(YuqingError):
    """A quote does not stand in the text."""


async def judged_text(connection: AsyncConnection, doc_id: str, content_hash: str) -> JudgedText | None:
    """The version of a document that a verdict was made from; None when it was not kept."""
    current = select(Document.title, Document.text, Document.segments).where(
        Document.doc_id == doc_id, Document.content_hash == content_hash
    )
    if row := (await connection.execute(current)).first():
        return JudgedText(row.title, row.text, tuple(row.segments))
    earlier = select(DocumentVersion.title, DocumentVersion.text).where(
        DocumentVersion.doc_id == doc_id, DocumentVersion.content_hash == content_hash
    )
    row = (await connection.execute(earlier)).first()
    return JudgedText(row.title, row.text, ()) if row else None


def locate(judged: JudgedText, quote: str, start: int | None = None) -> Quote:
    """The quote at its place: the first, or the one at `start`. Raises QuoteMissing."""
    place = judged.text.find(quote) if start is None else start
    if place < 0 or judged.text[place : place + len(quote)] != quote:
        raise QuoteMissing(
            f"the text does not hold {quote[:40]!r}" + (f" at character {start}" if start is not None else ""),
            cure="copy the quote from the document's `text`, as it stands",
        )
    said = [line["start_s"] for line in judged.segments if line["start"] <= place]
    return Quote(quote, place, place + len(quote), said[-1] if said else None)


async def store_correction(
    connection: AsyncConnection,
    team_id: int,
    doc_id: str,
    shown: CompanyVerdict,
    new: NewCorrection,
    author: str,
    handed_down_from: str | None = None,
) -> int:
    """Add the next version to the verdict that was `shown`; returns its number. The caller holds the verdict's lock.

    `handed_down_from` is the document whose correction this one repeats.
    """
    of_verdict = (Correction.doc_id == doc_id, Correction.company_id == shown.company_id)
    last = (await connection.execute(select(func.max(Correction.version)).where(*of_verdict))).scalar_one()
    replaced = asdict(shown)
    for moment in (replaced["lineage"], replaced["correction"] or {}):
        if "created_at" in moment:
            moment["created_at"] = moment["created_at"].isoformat()
    if handed_down_from is not None:
        replaced[HANDED_DOWN] = handed_down_from
    version = (last or 0) + 1
    await connection.execute(
        insert(Correction).values(
            team_id=team_id,
            doc_id=doc_id,
            company_id=shown.company_id,
            content_hash=shown.content_hash,
            version=version,
            withdrawn=new.withdrawn,
            sentiment=new.sentiment,
            risk_level=new.risk_level,
            risk_types=list(new.risk_types),
            evidence=[asdict(quote) for quote in new.evidence],
            replaced=replaced,
            reason=new.reason,
            author=author,
        )
    )
    return version


async def hand_down(
    connection: AsyncConnection, team_id: int, doc_id: str, shown: CompanyVerdict, new: NewCorrection, author: str
) -> list[str]:
    """Repeat a correction for the reprints that took this verdict over; returns their doc_ids.

    The quotes are found in each reprint's own text; where one is not, what the reprint shows stays its evidence. A reprint that
    an analyst has judged by itself keeps that word. Locked in the order of doc_id, after the verdict that was corrected.
    """
    heirs = await connection.execute(
        select(VerdictRow.doc_id)
        .where(VerdictRow.inherited_from == doc_id, VerdictRow.company_id == shown.company_id)
        .order_by(VerdictRow.doc_id)
    )
    done = []
    for heir in heirs.scalars().all():
        its = await verdict_of(connection, team_id, heir, shown.company_id, lock=True)
        if its is None:
            continue
        last = await connection.execute(
            select(Correction.replaced[HANDED_DOWN].astext, Correction.withdrawn)
            .where(
                Correction.doc_id == heir,
                Correction.company_id == its.company_id,
                Correction.content_hash == its.content_hash,
            )
            .order_by(Correction.id.desc())
            .limit(1)
        )
        before = last.first()
        if before is not None and before[0] != doc_id and not before.withdrawn:
            continue
        if new.withdrawn and (before is None or before.withdrawn):
            continue
        judged = await judged_text(connection, heir, its.content_hash)
        try:
            quotes = tuple(locate(judged, quote.quote) for quote in new.evidence) if judged else its.evidence
        except QuoteMissing:
            quotes = its.evidence
        await store_correction(connection, team_id, heir, its, replace(new, evidence=quotes), author, doc_id)
        done.append(heir)
    return done


async def history(
    connection: AsyncConnection, team_id: int, doc_id: str, company_id: int
) -> tuple[CorrectionVersion, ...]:
    """All versions, the first first; also those of earlier texts."""
    columns = (getattr(Correction, name) for name in CorrectionVersion.__dataclass_fields__)
    statement = (
        select(*columns)
        .where(Correction.team_id == team_id, Correction.doc_id == doc_id, Correction.company_id == company_id)
        .order_by(Correction.version)
    )
    return tuple(_version(dict(row)) for row in (await connection.execute(statement)).mappings())


def _version(values: dict[str, Any]) -> CorrectionVersion:
    values["risk_types"] = tuple(values["risk_types"])
    values["evidence"] = tuple(Quote(**quote) for quote in values["evidence"])
    return CorrectionVersion(**values)


async def training_examples(
    connection: AsyncConnection, team_id: int, since: datetime | None = None
) -> AsyncIterator[dict[str, Any]]:
    """The last word of each corrected verdict with the text that it is about, oldest first; withdrawn ones are left out.

    One example: doc_id, company_id, company, content_hash, title, text, the four corrected fields, reason, author,
    created_at, replaced. Read as a stream: bounded memory, however many.
    """
    later = select(Correction).subquery("later")
    statement = with_judged_text(
        select(
            Correction.doc_id,
            Correction.company_id,
            Company.name.label("company"),
            Correction.content_hash,
            JUDGED_TITLE,
            JUDGED_TEXT,
            Correction.sentiment,
            Correction.risk_level,
            Correction.risk_types,
            Correction.evidence,
            Correction.reason,
            Correction.author,
            Correction.created_at,
            Correction.replaced,
        )
        .join(Company, Company.id == Correction.company_id)
        .where(
            Correction.team_id == team_id,
            ~select(later.c.id)
            .where(
                later.c.doc_id == Correction.doc_id,
                later.c.company_id == Correction.company_id,
                later.c.content_hash == Correction.content_hash,
                later.c.id > Correction.id,
            )
            .exists(),
        )
        .order_by(Correction.id)
    )
    if since is not None:
        statement = statement.where(Correction.created_at >= since)
    result = await connection.stream(statement)
    async for row in result.mappings():
        yield dict(row)

"""Which earlier document of a reprint group says the same of a document's companies, and its quotes found again there.

Two documents say the same of a company when their titles are equal after normalisation and so are the sentences that name
the company, with their neighbours: what else a site put around them, left out or wrapped otherwise does not matter.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, insert, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from llm import records
from llm.analysis.evidence import quote
from llm.analysis.prompts import SENTENCE_LIMIT, WINDOW, Company
from llm.records import Subject, read_subject
from yuqing.contracts import Evidence, Lineage
from yuqing.database.models import Correction, Document
from yuqing.text.sentences import clause_spans, sentence_spans

# Earlier members of a group whose titles are compared, and whose texts are when the titles are equal. A member beyond
# them is analysed by itself: that costs a call, no correctness.
_TITLES = 200
_TEXTS = 8


def normalised(text: str) -> str:
    """Letters and digits alone, compatible forms made one (full-width, ligatures), without case."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(character for character in folded if character.isalnum())


def context(text: str, company: Company) -> tuple[str, ...]:
    """The sentences that name the company and those beside them, normalised, in order; a run that ends is marked by ""."""
    spans = sentence_spans(text)
    names = [name for name in (company.name, *company.aliases) if name]
    naming = [i for i, (start, end) in enumerate(spans) if any(name in text[start:end] for name in names)]
    near = sorted({j for i in naming for j in range(i - WINDOW, i + WINDOW + 1) if 0 <= j < len(spans)})
    found: list[str] = []
    for place, index in enumerate(near):
        if place and near[place - 1] != index - 1:
            found.append("")
        found.append(normalised(text[slice(*spans[index])]))
    return tuple(found)


def says_the_same(subject: Subject, other: Subject) -> bool:
    """Whether `other` says of each of the subject's companies what the subject says."""
    if normalised(subject.title) != normalised(other.title) or not set(subject.companies) <= set(other.companies):
        return False
    return all(
        context(subject.text, company) == context(other.text, other.companies[company_id])
        for company_id, company in subject.companies.items()
    )


async def source_of(connection: AsyncConnection, subject: Subject) -> str:
    """The earliest document of the reprint group that says the same; the subject itself when there is none.

    Earliest by (first_seen, doc_id), so that the answer does not depend on which document is analysed first.
    """
    earlier = await connection.execute(
        select(Document.doc_id, Document.title)
        .where(
            Document.group_id == subject.group_id,
            tuple_(Document.first_seen, Document.doc_id) < tuple_(subject.first_seen, subject.doc_id),
        )
        .order_by(Document.first_seen, Document.doc_id)
        .limit(_TITLES)
    )
    title = normalised(subject.title)
    same = [str(row.doc_id) for row in earlier if normalised(row.title) == title]
    for doc_id in same[:_TEXTS]:
        other = await read_subject(connection, doc_id)
        if other is not None and says_the_same(subject, other):
            return doc_id
    return subject.doc_id


def find_quotes(evidence: Sequence[Mapping[str, Any]], subject: Subject) -> list[Evidence] | None:
    """The quotes of another document in the subject's text, with its own offsets; None when one is not there.

    A quote that occurs twice is taken in the order of the quotes.
    """
    spans = clause_spans(subject.text, SENTENCE_LIMIT)
    said = [normalised(subject.text[slice(*span)]) for span in spans]
    found: list[Evidence] = []
    after = 0
    for item in sorted(evidence, key=lambda item: int(item["start"])):
        wanted = normalised(str(item["quote"]))
        places = [index for index in range(after, len(spans)) if said[index] == wanted]
        if not wanted or not places:
            return None
        found.append(quote(subject.text, spans[places[0]], subject.segments))
        after = places[0] + 1
    return found


async def inherit(connection: AsyncConnection, subject: Subject, source: str, lineage: Lineage) -> bool | None:
    """Take over the source's analysis and verdicts of this lineage; False when the subject has changed meanwhile.

    None, and nothing written, when the source has none for each of the subject's companies, or a quote is not found again.
    """
    original = await read_subject(connection, source)
    if original is None or not says_the_same(subject, original):
        return None
    stored = await records.read_stored(connection, original, lineage)
    if stored is None or not set(subject.companies) <= set(stored.verdicts):
        return None
    quotes: dict[int, list[Evidence]] = {}
    for company_id in subject.companies:
        found = find_quotes(stored.verdicts[company_id]["evidence"], subject)
        if found is None:
            return None
        quotes[company_id] = found
    written = await records.write_copy(connection, subject, source, stored, quotes)
    if written:
        for company_id in subject.companies:
            await _repeat_correction(connection, subject, original, company_id, quotes[company_id])
    return written


async def _repeat_correction(
    connection: AsyncConnection, subject: Subject, original: Subject, company_id: int, quotes: Sequence[Evidence]
) -> None:
    """Repeat what an analyst says of the original's verdict, unless somebody has judged the subject's.

    `quotes` are the model's own in the subject's text, for a correction whose quotes are not found there.
    """

    async def last(of: Subject) -> Any:
        statement = (
            select(Correction.__table__)
            .where(
                Correction.doc_id == of.doc_id,
                Correction.company_id == company_id,
                Correction.content_hash == of.content_hash,
            )
            .order_by(Correction.id.desc())
            .limit(1)
        )
        found = (await connection.execute(statement)).first()
        return found if found is not None and not found.withdrawn else None

    word = await last(original)
    if word is None or await last(subject) is not None:
        return
    own = find_quotes(word.evidence, subject)
    count = select(func.coalesce(func.max(Correction.version), 0) + 1).where(
        Correction.doc_id == subject.doc_id, Correction.company_id == company_id
    )
    await connection.execute(
        insert(Correction).values(
            team_id=word.team_id, doc_id=subject.doc_id, company_id=company_id, content_hash=subject.content_hash,
            version=count.scalar_subquery(), withdrawn=False, sentiment=word.sentiment, risk_level=word.risk_level,
            risk_types=word.risk_types, evidence=[item.model_dump() for item in (quotes if own is None else own)],
            replaced={**word.replaced, "handed_down_from": original.doc_id}, reason=word.reason, author=word.author,
        )
    )  # fmt: skip


async def hand_down(connection: AsyncConnection, doc_id: str, lineage: Lineage) -> int:
    """Let every document that took over this one's verdicts take them over again; returns how many did.

    For verdicts that were made anew: a document that now says something else keeps what it has.
    """
    count = 0
    for heir in await records.heirs_of(connection, doc_id):
        subject = await read_subject(connection, heir)
        if subject is not None and subject.companies:
            count += bool(await inherit(connection, subject, doc_id, lineage))
    return count

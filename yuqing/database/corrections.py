"""Which corrections can be learnt from, and the text that each is about."""

from typing import Any

from sqlalchemy import Select, func

from yuqing.database.models import Correction, Document, DocumentVersion

# In `replaced` of a correction that repeats the one of the document from which the verdict was taken over.
HANDED_DOWN = "handed_down_from"

# The text that was judged: an earlier version's where the document has changed since.
JUDGED_TITLE = func.coalesce(DocumentVersion.title, Document.title).label("title")
JUDGED_TEXT = func.coalesce(DocumentVersion.text, Document.text).label("text")


def with_judged_text(statement: Select[Any]) -> Select[Any]:
    """A selection of corrections joined to the text that each judged (JUDGED_TITLE, JUDGED_TEXT).

    Left out is what was withdrawn, what a reprint took over from its original, whose text is the same, and what judged a text
    that was not kept.
    """
    return (
        statement.join(Document, Document.doc_id == Correction.doc_id)
        .outerjoin(
            DocumentVersion,
            (DocumentVersion.doc_id == Correction.doc_id)
            & (DocumentVersion.content_hash == Correction.content_hash)
            & (Document.content_hash != Correction.content_hash),
        )
        .where(
            ~Correction.withdrawn,
            ~Correction.replaced.has_key(HANDED_DOWN),
            (Document.content_hash == Correction.content_hash) | DocumentVersion.doc_id.is_not(None),
        )
    )

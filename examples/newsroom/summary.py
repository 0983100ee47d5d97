"""What one pass of the demonstration did, and how far the model agrees with the people who labelled the texts."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Engine, text

from examples.newsroom.labels import labels
from yuqing.database import session


@dataclass(frozen=True)
class Summary:
    """Counts of this pass; reprint_groups and agreement are of all that the database holds.

    crawled: new article pages; fetched_js: those of them that Chromium loaded; cleaned: documents written;
    duplicates: documents that joined the group of an earlier one; reprint_groups: groups of two or more;
    verdicts: (document, company) pairs; agreement: share of the analysed, labelled documents whose sentiment is the
    human label, None when there is none; seconds: wall time of the pass.
    """

    crawled: int
    fetched_js: int
    cleaned: int
    quarantined: int
    duplicates: int
    reprint_groups: int
    transcribed: int
    analysed: int
    verdicts: int
    agreement: float | None
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """The fields in order."""
        return asdict(self)


def reprint_groups(pool: Engine) -> int:
    """Groups with at least two documents."""
    query = "SELECT count(*) FROM (SELECT FROM documents GROUP BY group_id HAVING count(*) > 1) AS groups"
    with session.transaction(pool) as connection:
        return int(connection.execute(text(query)).scalar_one())


def agreement(pool: Engine, base_urls: Mapping[str, str]) -> tuple[int, int]:
    """(documents whose sentiment is the human label, documents that have both). Transcripts have no label."""
    human = labels(base_urls)
    query = "SELECT canonical_url, sentiment FROM documents JOIN document_analyses USING (doc_id) WHERE kind <> 'transcript'"
    with session.transaction(pool) as connection:
        rows = connection.execute(text(query)).all()
    compared = [(human[url], sentiment) for url, sentiment in rows if url in human]
    return sum(label == sentiment for label, sentiment in compared), len(compared)

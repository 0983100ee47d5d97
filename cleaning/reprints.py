"""Reprint groups (转载): a forest in which each document hangs under the best verified earlier one.

A document's parent depends on nothing but the set of documents, so any order of runs gives the same groups: a document
that arrives late but was seen earlier takes over the later ones that resemble it more than their parent does. Every
tree is a group, named by its root; a document has one parent, so groups never merge.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from cleaning.duplicates import Known, best_earlier, from_bytes
from yuqing.settings import CleaningSettings

_LOCK = "SELECT pg_advisory_xact_lock(hashtext('yuqing.cleaning.reprints'))"

_RELATED = """
SELECT one.doc_id AS doc_id, other.doc_id AS other_id
FROM signatures one
CROSS JOIN LATERAL (
    SELECT doc_id FROM signatures other
    WHERE other.bands && one.bands AND (other.first_seen, other.doc_id) {side} (one.first_seen, one.doc_id)
    ORDER BY other.first_seen, other.doc_id
    LIMIT :cap
) other
WHERE one.doc_id = ANY(:documents)
"""

# Down from the documents whose place changed: their whole trees get the new root's name.
_REGROUP = """
WITH RECURSIVE
up AS (
    SELECT doc_id AS moved, doc_id, parent_id FROM signatures WHERE doc_id = ANY(:moved)
    UNION ALL
    SELECT up.moved, parent.doc_id, parent.parent_id FROM up JOIN signatures parent ON parent.doc_id = up.parent_id
),
down AS (
    SELECT moved AS doc_id, doc_id AS root FROM up WHERE parent_id IS NULL
    UNION
    SELECT child.doc_id, down.root FROM down JOIN signatures child ON child.parent_id = down.doc_id
)
SELECT down.doc_id, down.root, root.first_seen
FROM down JOIN signatures root ON root.doc_id = down.root
"""


@dataclass(frozen=True)
class _Place:
    """Where a stored document hangs."""

    known: Known
    parent_id: str | None
    similarity: float | None


def lock(connection: Connection) -> None:
    """One transaction at a time assigns groups; the lock is held until the transaction ends."""
    connection.execute(text(_LOCK))


def assign(connection: Connection, placed: list[str], settings: CleaningSettings) -> None:
    """Find parents for documents whose signature is new or replaced, and for what they may take over; regroup.

    Runs inside the caller's transaction, which holds `lock`.
    """
    if not placed:
        return
    # A replaced signature says nothing any more about those that hung under the document: they are placed anew too.
    fresh = _column(
        connection, "SELECT doc_id FROM signatures WHERE doc_id = ANY(:ids) OR parent_id = ANY(:ids)", placed
    )
    earlier = _related(connection, fresh, "<", settings.duplicate_candidates)
    later = _related(connection, fresh, ">", settings.duplicate_candidates)
    places = _places(connection, {*fresh, *(key for pair in earlier + later for key in pair)})
    candidates_of: dict[str, list[Known]] = {key: [] for key in fresh}
    for key, other in earlier:
        candidates_of[key].append(places[other].known)
    moved = {key: _best(places[key].known, candidates, settings) for key, candidates in candidates_of.items()}
    by_later: dict[str, list[Known]] = {}
    for key, other in later:
        if other not in moved:
            by_later.setdefault(other, []).append(places[key].known)
    places |= _places(connection, {p for key in by_later if (p := places[key].parent_id) and p not in places})
    for key, candidates in by_later.items():
        place = places[key]
        better = _best(place.known, candidates, settings)
        if better[0] is None or better[1] is None:
            continue
        order = places[place.parent_id].known.order if place.parent_id else ()
        if place.parent_id is None or (-better[1], places[better[0]].known.order) < (-(place.similarity or 0), order):
            moved[key] = better
    connection.execute(
        text("UPDATE signatures SET parent_id = :parent_id, similarity = :similarity WHERE doc_id = :doc_id"),
        [{"doc_id": key, "parent_id": parent, "similarity": value} for key, (parent, value) in sorted(moved.items())],
    )
    _regroup(connection, sorted(moved))


def _best(known: Known, candidates: list[Known], settings: CleaningSettings) -> tuple[str | None, float | None]:
    found = best_earlier(known.minhash, candidates, settings.duplicate_threshold)
    return (found[0].key, found[1]) if found else (None, None)


def _column(connection: Connection, statement: str, ids: list[str]) -> list[str]:
    return sorted(connection.execute(text(statement), {"ids": ids}).scalars())


def _related(connection: Connection, documents: list[str], side: str, cap: int) -> list[tuple[str, str]]:
    rows = connection.execute(text(_RELATED.format(side=side)), {"documents": documents, "cap": cap})
    return [(row.doc_id, row.other_id) for row in rows]


def _places(connection: Connection, keys: set[str]) -> dict[str, _Place]:
    rows = connection.execute(
        text("SELECT doc_id, first_seen, minhash, parent_id, similarity FROM signatures WHERE doc_id = ANY(:keys)"),
        {"keys": list(keys)},
    )
    return {
        row.doc_id: _Place(
            Known(row.doc_id, (row.first_seen, row.doc_id), from_bytes(row.minhash)), row.parent_id, row.similarity
        )
        for row in rows
    }


def _regroup(connection: Connection, moved: list[str]) -> None:
    rows: list[Any] = list(connection.execute(text(_REGROUP), {"moved": moved}))
    roots = {row.root: row.first_seen for row in rows}
    connection.execute(
        text(
            "INSERT INTO reprint_groups (group_id, first_seen) VALUES (:group_id, :first_seen) "
            "ON CONFLICT (group_id) DO UPDATE SET first_seen = EXCLUDED.first_seen"
        ),
        [{"group_id": root, "first_seen": first_seen} for root, first_seen in sorted(roots.items())],
    )
    parameters = {"documents": [row.doc_id for row in rows], "groups": [row.root for row in rows]}
    left = connection.execute(
        text(
            "WITH place AS ("
            "SELECT * FROM unnest(CAST(:documents AS text[]), CAST(:groups AS text[])) AS p (doc_id, root)), "
            "before AS (SELECT doc_id, group_id FROM documents WHERE doc_id = ANY(:documents)), "
            "moved AS (UPDATE documents SET group_id = place.root FROM place "
            "WHERE documents.doc_id = place.doc_id AND group_id <> place.root RETURNING documents.doc_id) "
            "SELECT DISTINCT before.group_id FROM before JOIN moved USING (doc_id)"
        ),
        parameters,
    )
    connection.execute(
        text(
            "DELETE FROM reprint_groups WHERE group_id = ANY(:left) "
            "AND NOT EXISTS (SELECT FROM documents WHERE documents.group_id = reprint_groups.group_id)"
        ),
        {"left": list(left.scalars())},
    )

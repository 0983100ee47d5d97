"""Reprint groups (转载): a forest in which each document hangs under the best verified earlier one.

A document's parent depends on nothing but the set of documents, so any order of runs gives the same groups: a document
that arrives late but was seen earlier takes over the later ones that resemble it more than their parent does. Every
tree is a group, named by its root; a document has one parent, so groups never merge.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, text

from cleaning.duplicates import Known, best_earlier, from_bytes
from yuqing.settings import CleaningSettings

_LOCK = "SELECT pg_advisory_xact_lock(hashtext('yuqing.cleaning.reprints'))"

# Who shares a band with whom, in steps whose results are counted before the next is planned: of a query in one piece the planner
# expects a handful of rows where there are hundreds of thousands, and joins them in nested loops that take minutes.
#
# Each band is asked for once, together with the other new ones of its document: the index's cost is that of the bands in a
# look-up times the rows found, so that one look-up for all of them would grow with the square of the documents.
_BANDS = """
CREATE TEMP TABLE asked_bands ON COMMIT DROP AS
SELECT band, min(doc_id) AS asker FROM signatures CROSS JOIN LATERAL unnest(bands) AS own (band)
WHERE doc_id = ANY(:documents) GROUP BY band
"""
_MET = """
CREATE TEMP TABLE met_documents ON COMMIT DROP AS
WITH asked AS (SELECT array_agg(band) AS bands FROM asked_bands GROUP BY asker)
SELECT DISTINCT doc_id FROM asked JOIN signatures ON signatures.bands && asked.bands
"""
# `place` counts within each stretch of a window's length, so that later stretches are not crowded out by the first.
_SHARED = """
CREATE TEMP TABLE shared_bands ON COMMIT DROP AS
WITH members AS (
    SELECT doc_id, first_seen, band, count(*) OVER (PARTITION BY band) AS crowd, row_number() OVER (
        PARTITION BY band, floor(extract(epoch FROM first_seen) / (86400 * :days)) ORDER BY first_seen, doc_id
    ) AS place
    FROM met_documents JOIN signatures USING (doc_id) CROSS JOIN LATERAL unnest(bands) AS own (band)
    JOIN asked_bands USING (band)
)
SELECT doc_id, first_seen, band, place, doc_id = ANY(:documents) AS is_fresh FROM members WHERE crowd > 1
"""
# The earlier one first, and not longer before than the window. Of a crowded band only the earliest `cap` are candidates.
_RELATED = """
SELECT DISTINCT earlier.doc_id AS earlier_id, later.doc_id AS later_id
FROM shared_bands earlier JOIN shared_bands later USING (band)
WHERE (earlier.first_seen, earlier.doc_id) < (later.first_seen, later.doc_id) AND earlier.place <= :cap
    AND later.first_seen - earlier.first_seen <= make_interval(days => :days) AND (earlier.is_fresh OR later.is_fresh)
"""
_STEPS = {"asked_bands": _BANDS, "met_documents": _MET, "shared_bands": _SHARED}

# Down from the documents whose place changed: their whole trees get the new root's name.
_REGROUPED = """
CREATE TEMP TABLE regrouped ON COMMIT DROP AS
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
SELECT doc_id, root FROM down
"""
_GROUPS = """
INSERT INTO reprint_groups (group_id, first_seen)
SELECT doc_id, first_seen FROM signatures WHERE doc_id IN (SELECT root FROM regrouped) ORDER BY doc_id
ON CONFLICT (group_id) DO UPDATE SET first_seen = EXCLUDED.first_seen
WHERE reprint_groups.first_seen <> EXCLUDED.first_seen
"""
_MOVED_DOCUMENTS = """
WITH before AS (SELECT doc_id, group_id FROM documents WHERE doc_id IN (SELECT doc_id FROM regrouped)),
moved AS (
    UPDATE documents SET group_id = root FROM regrouped
    WHERE documents.doc_id = regrouped.doc_id AND group_id <> root RETURNING documents.doc_id
)
SELECT DISTINCT group_id FROM before JOIN moved USING (doc_id)
"""
_EMPTY_GROUPS = """
DELETE FROM reprint_groups WHERE group_id = ANY(:left)
    AND NOT EXISTS (SELECT FROM documents WHERE documents.group_id = reprint_groups.group_id)
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

    Runs inside the caller's transaction, which holds `lock`, and leaves the temporary table regrouped (doc_id, root): where
    the documents belong whose place changed. Those in `documents` have been moved; for others it says their first group.
    """
    # Rows are looked up by key in tables of which the statistics know little yet: scanning these takes minutes where their
    # indexes take a second, and the planner does not know that.
    connection.execute(text("SET LOCAL enable_seqscan = off"))
    _regroup(connection, _reparent(connection, placed, settings))
    connection.execute(text("SET LOCAL enable_seqscan = on"))


def _reparent(connection: Connection, placed: list[str], settings: CleaningSettings) -> list[str]:
    """Hang the placed documents and those that they take over under their best earlier one; returns the keys of both."""
    if not placed:
        return []
    # A replaced signature says nothing any more about those that hung under the document: they are placed anew too.
    statement = "SELECT doc_id FROM signatures WHERE doc_id = ANY(:placed) OR parent_id = ANY(:placed)"
    fresh = set(connection.execute(text(statement), {"placed": placed}).scalars())
    places, candidates = _related(connection, fresh, settings)
    moved: dict[str, tuple[str | None, float | None]] = {}
    by_later: dict[str, list[Known]] = {}
    for key, found in candidates.items():
        if key in fresh:
            moved[key] = _best(places[key].known, found, settings)
        else:
            by_later[key] = found
    places |= _places(connection, {p for key in by_later if (p := places[key].parent_id) and p not in places})
    for key, found in by_later.items():
        place = places[key]
        better = _best(place.known, found, settings)
        if better[0] is None or better[1] is None:
            continue
        order = places[place.parent_id].known.order if place.parent_id else ()
        if place.parent_id is None or (-better[1], places[better[0]].known.order) < (-(place.similarity or 0), order):
            moved[key] = better
    keys = sorted(moved)
    # A row that stays as it is would be written to all indexes once more.
    statement = (
        "UPDATE signatures SET parent_id = found.parent_id, similarity = found.similarity FROM unnest("
        "CAST(:documents AS text[]), CAST(:parents AS text[]), CAST(:similarities AS float[])) "
        "AS found (doc_id, parent_id, similarity) WHERE signatures.doc_id = found.doc_id "
        "AND (signatures.parent_id, signatures.similarity) IS DISTINCT FROM (found.parent_id, found.similarity)"
    )
    parents, similarities = [moved[key][0] for key in keys], [moved[key][1] for key in keys]
    connection.execute(text(statement), {"documents": keys, "parents": parents, "similarities": similarities})
    return keys


def _best(known: Known, candidates: list[Known], settings: CleaningSettings) -> tuple[str | None, float | None]:
    found = best_earlier(known.minhash, candidates, settings.duplicate_threshold)
    return (found[0].key, found[1]) if found else (None, None)


def _related(
    connection: Connection, fresh: set[str], settings: CleaningSettings
) -> tuple[dict[str, _Place], dict[str, list[Known]]]:
    """The fresh documents and those they share a band with, and for each of these its earlier candidates.

    For a document that is not fresh the candidates are fresh ones only: it has been compared with the others before.
    """
    parameters = {
        "documents": sorted(fresh),
        "cap": settings.duplicate_candidates,
        "days": settings.duplicate_window_days,
    }
    for table, statement in _STEPS.items():
        connection.execute(text(statement), parameters)
        connection.execute(text(f"ANALYZE {table}"))
    pairs = list(connection.execute(text(_RELATED), parameters))
    connection.execute(text(f"DROP TABLE {', '.join(_STEPS)}"))
    places = _places(connection, fresh.union(*({row.earlier_id, row.later_id} for row in pairs)))
    candidates: dict[str, list[Known]] = {key: [] for key in sorted(fresh)}
    for row in pairs:
        candidates.setdefault(row.later_id, []).append(places[row.earlier_id].known)
    return places, candidates


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
    for plan in ("hashjoin", "mergejoin"):  # either reads a whole index for each level of the trees
        connection.execute(text(f"SET LOCAL enable_{plan} = off"))
    connection.execute(text(_REGROUPED), {"moved": moved})
    connection.execute(text(_GROUPS))
    left = list(connection.execute(text(_MOVED_DOCUMENTS)).scalars())
    connection.execute(text(_EMPTY_GROUPS), {"left": left})
    for plan in ("hashjoin", "mergejoin"):
        connection.execute(text(f"SET LOCAL enable_{plan} = on"))

"""Parents and roots found through the index of bands, against a comparison of all with all."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, Engine, text

from cleaning import reprints
from cleaning.duplicates import Known, bands, best_earlier, signature, to_bytes
from yuqing.settings import Settings

pytestmark = pytest.mark.service

FIRST = datetime(2024, 6, 1, tzinfo=UTC)
WINDOW_DAYS = 30


def stories(chance: random.Random, number: int) -> list[tuple[str, datetime, str]]:
    """(key, first seen, text): originals and altered copies of copies, in an order that has nothing to do with time."""

    def sentence() -> str:
        return "".join(map(chr, chance.choices(range(0x4E00, 0x5E00), k=30))) + "。"

    texts = [[sentence() for _ in range(12)] for _ in range(number // 3)]
    while len(texts) < number:
        lines = list(chance.choice(texts))
        for place in chance.sample(range(len(lines)), chance.randrange(4)):
            lines[place] = sentence()
        texts.append(lines[: chance.randint(8, 12)])
    found = [
        (f"{place:04}", FIRST + timedelta(hours=chance.randrange(24 * 60)), "".join(lines))
        for place, lines in enumerate(texts)
    ]
    chance.shuffle(found)
    return found


def arrive(connection: Connection, settings: Settings, arrived: list[tuple[str, datetime, str]]) -> dict[str, str]:
    """Place these documents; returns the roots of all that moved."""
    statement = text(
        "INSERT INTO signatures (doc_id, content_hash, first_seen, minhash, bands) "
        "VALUES (:key, :key, :seen, :minhash, :bands)"
    )
    for key, seen, content in arrived:
        minhash = signature(content)
        values = {"key": key, "seen": seen, "minhash": to_bytes(minhash), "bands": bands(minhash)}
        connection.execute(statement, values)
    reprints.assign(connection, [key for key, *_ in arrived], settings.cleaning)
    roots = {row.doc_id: row.root for row in connection.execute(text("SELECT doc_id, root FROM regrouped"))}
    connection.execute(text("DROP TABLE regrouped"))
    return roots


@pytest.mark.parametrize("seed", range(3))
def test_every_document_hangs_under_its_best_earlier_one(settings: Settings, database: Engine, seed: int) -> None:
    chance = random.Random(seed)
    tuning = settings.cleaning.model_copy(update={"duplicate_window_days": WINDOW_DAYS})
    settings = settings.model_copy(update={"cleaning": tuning})
    documents = stories(chance, 60)
    known = [(Known(key, (seen, key), signature(content)), seen) for key, seen, content in documents]
    parents: dict[str, str | None] = {}
    for document, seen in known:
        shared = set(bands(document.minhash))
        candidates = [
            other
            for other, earlier in known
            if other.order < document.order
            and seen - earlier <= timedelta(days=WINDOW_DAYS)
            and shared & set(bands(other.minhash))
        ]
        found = best_earlier(document.minhash, candidates, tuning.duplicate_threshold)
        parents[document.key] = found[0].key if found else None
    assert 15 < sum(parent is not None for parent in parents.values()) < 50

    roots: dict[str, str] = {}
    with database.connect() as connection:  # never committed: there are no documents to these signatures
        while documents:
            size = chance.randint(1, 25)
            roots |= arrive(connection, settings, documents[:size])
            documents = documents[size:]
        stored = connection.execute(text("SELECT doc_id, parent_id FROM signatures")).all()
        groups = set(connection.execute(text("SELECT group_id FROM reprint_groups")).scalars())
    assert {row.doc_id: row.parent_id for row in stored} == parents

    def root(key: str) -> str:
        parent = parents[key]
        return root(parent) if parent else key

    assert roots == {key: root(key) for key in parents}
    assert set(roots.values()) <= groups

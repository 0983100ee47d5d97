"""A made-up press of any size for benchmarks/gateway.py: documents, mentions, verdicts and analyses, loaded with COPY."""

import hashlib
import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import numpy as np
import psycopg

from yuqing.text.bigrams import bigrams

COMPANIES, MENTIONS, SITES = 200, 3, 40
DOCUMENTS_A_DAY = 3000
REPRINTS = 0.2  # of the documents; a share that the demonstration's media reach, too
SENTENCES, SENTENCE_WORDS, TITLE_WORDS, KEYWORDS = (5, 13), 14, 8, 5
CHUNK = 2000  # documents that are made at once, from a seed of their own
# The commonest characters of modern Chinese; words are made of them so that characters and words both follow Zipf's law.
CHARACTERS = (
    "的一是不了在人有我他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可她里后小么心多天而能好都然没日于起还发成事只作当"
    "想看文无开手十用主行方又如前所本见经头面公同三已老从动两长知民样现分将外但身些与高意进把法此实回二理美点月明其种声全工己话儿者向情部正名定女问"
    "力机给等几很业最间新什打便位因重被走电四第门相次东政海口使教西再平真听世气信北少关并内加化由却代军产入先山五太水万市眼体别处总才场师书比住员九"
    "笑性通目华报立马命张活难神数件安表原车白应路期叫死常提感金何更反合放做系计或司利受光王果亲界及今京务制解各任至清物台象记边共风战干接它许八特觉"
    "望直服毛林题建南度统色字请交爱让认算论百吃义科怎元社术结六功指思非流每青管夫连远资队跟带花快条院变联言权往展该领传近留红治决周保达办运武半候七"
)
SENTIMENTS = ("positive", "neutral", "negative")
CATEGORIES = ("新闻报道", "新闻报道", "公司公告", "财务报告", "评论")
_LINEAGE = ("engine", "model", "prompt_version", "cleaning_version", "prompt_tokens", "completion_tokens", "latency_ms")
_MADE_BY = "vllm\tbench\t1\t1\t1\t1\t1"
COLUMNS = {
    "reprint_groups": ("group_id", "first_seen"),
    "documents": (
        *("doc_id", "content_hash", "kind", "site", "url", "canonical_url", "title", "text", "published_at"),
        *("first_seen", "fetched_at", "source", "language", "group_id", "batch_key", "cleaning_version", "search"),
    ),
    "document_analyses": (
        *("doc_id", "content_hash", "sentiment", "score", "confidence", "category", "summary", "keywords"),
        *_LINEAGE,
    ),
    "mentions": ("doc_id", "company_id", "content_hash", "spans", "relevance"),
    "verdicts": (
        *("doc_id", "company_id", "content_hash", "sentiment", "score", "confidence", "risk_level", "risk_types"),
        *("evidence", "grounded", *_LINEAGE),
    ),
}


def _cumulated(weights: Iterable[float]) -> Any:
    sums = np.cumsum(np.fromiter(weights, float))
    return sums / sums[-1]


class Press:
    """The same documents for the same number, whoever asks."""

    def __init__(self, documents: int, end: datetime | None = None) -> None:
        self.documents = documents
        chance = np.random.default_rng(7)
        lengths = chance.choice((2, 2, 2, 3, 4), 20_000)
        characters = iter(chance.choice(list(CHARACTERS), int(lengths.sum())).tolist())
        self.words = [_take(characters, length) for length in lengths]
        # Word of rank r with probability ~ 1/r: the first stands in most documents, the last in a few of a million.
        self._word_weights = _cumulated(1 / (rank + 3) for rank in range(len(self.words)))
        self._company_weights = _cumulated(1 / (rank + 5) for rank in range(COMPANIES))
        self._site_weights = _cumulated(1 / (rank + 2) for rank in range(SITES))
        self.end = end or datetime.now(UTC).replace(microsecond=0)

    @staticmethod
    def doc_id(number: int) -> str:
        """32 hex digits."""
        return hashlib.md5(b"document %d" % number).hexdigest()

    def lines(self, start: int) -> dict[str, bytes]:
        """The documents [start, start + CHUNK) and what hangs on them, as text for COPY, a table each."""
        count = min(CHUNK, self.documents - start)
        chance = np.random.default_rng(start)
        tables: dict[str, list[str]] = {table: [] for table in COLUMNS}
        sentences = chance.integers(*SENTENCES, count)
        words = iter(self._chosen(chance, int(sentences.sum()) * SENTENCE_WORDS + count * (TITLE_WORDS + KEYWORDS)))
        sites = np.searchsorted(self._site_weights, chance.random(count))
        companies = np.searchsorted(self._company_weights, chance.random((count, 8 * MENTIONS))) + 1
        sentiments = chance.choice(3, (count, MENTIONS), p=(0.2, 0.6, 0.2))
        risks = chance.choice(5, (count, MENTIONS), p=(0.8, 0.1, 0.06, 0.03, 0.01))
        categories = chance.choice(len(CATEGORIES), count)
        moments = chance.random(count)
        minutes = chance.integers(1, 60, count)
        originals: list[str] = []
        reprints = chance.random(count) < REPRINTS
        for place in range(count):
            doc_id = self.doc_id(start + place)
            back = (self.documents - start - place + moments[place]) / DOCUMENTS_A_DAY
            time = self.end - timedelta(days=back)
            if reprints[place] and originals:
                group = originals[-int(chance.integers(1, min(len(originals), 300) + 1))]
            else:
                group = doc_id
                originals.append(doc_id)
                tables["reprint_groups"].append(f"{group}\t{time}")
            title = _take(words, TITLE_WORDS)
            body = [_take(words, SENTENCE_WORDS) for _ in range(sentences[place])]
            text = "。".join(body) + "。"
            site = f"site{sites[place]:02}"
            url = f"https://{site}.example/{doc_id}.html"
            seen = time + timedelta(minutes=int(minutes[place]))
            tables["documents"].append(
                f"{doc_id}\t{doc_id}\tpage\t{site}\t{url}\t{url}\t{title}\t{text}\t{time}\t{seen}\t{seen}\t{site}\tzh\t"
                f"{group}\tbench\t1\t{' '.join(_bigrams([title, *body]))}"
            )
            said = sentiments[place]
            keywords = ",".join(next(words) for _ in range(KEYWORDS))
            tables["document_analyses"].append(
                f"{doc_id}\t{doc_id}\t{SENTIMENTS[said[0]]}\t0.1\t0.8\t{CATEGORIES[categories[place]]}\t{text[:40]}\t"
                f"{{{keywords}}}\t{_MADE_BY}"
            )
            distinct = list(dict.fromkeys(companies[place].tolist()))[:MENTIONS]
            for company, sentiment, risk in zip(distinct, said, risks[place], strict=False):
                tables["mentions"].append(f"{doc_id}\t{company}\t{doc_id}\t[]\t0.5")
                level = risk if sentiment == 2 else 0
                tables["verdicts"].append(
                    f"{doc_id}\t{company}\t{doc_id}\t{SENTIMENTS[sentiment]}\t0.1\t0.8\t{level}\t{{}}\t[]\tt\t{_MADE_BY}"
                )
        return {table: ("\n".join(rows) + "\n").encode() if rows else b"" for table, rows in tables.items()}

    def _chosen(self, chance: Any, count: int) -> list[str]:
        ranks = np.searchsorted(self._word_weights, chance.random(count))
        return [self.words[rank] for rank in ranks.tolist()]


def _take(words: Iterator[str], count: int) -> str:
    return "".join(islice(words, count))


def _bigrams(runs: list[str]) -> set[str]:
    """What yuqing.text.bigrams finds in runs of Chinese characters, several times as fast."""
    found: set[str] = set()
    for run in runs:
        found.update(map(str.__add__, run, run[1:]))
        found.add(run[-1])
    return found


def _check_bigrams(press: Press) -> None:
    """Raises AssertionError when the short cut and the real thing part."""
    runs = [press.words[0] * 2 + press.words[9], press.words[7]]
    assert _bigrams(runs) == set(bigrams("。".join(runs)))


def prepare(url: str) -> None:
    """Let the server keep no log of what a transaction loads into tables that it has emptied; needs a restart."""
    with psycopg.connect(url, autocommit=True) as connection:
        for setting in ("wal_level = minimal", "max_wal_senders = 0", "max_wal_size = '1GB'"):
            connection.execute(f"ALTER SYSTEM SET {setting}")  # type: ignore[arg-type]


def load(url: str, documents: int) -> None:
    """Fill a migrated, empty database: one team `bench` with its companies and all documents.

    Triggers are off, constraints and indexes away while the rows arrive; `coverage` is filled at the end.
    """
    press = Press(documents)
    _check_bigrams(press)
    with psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET maintenance_work_mem = '1GB'")
        connection.execute("INSERT INTO teams (id, name) VALUES (1, 'bench')")
        for number in range(COMPANIES):
            name = f"{press.words[2000 + number]}公司{number}"
            connection.execute("INSERT INTO companies (id, team_id, name) VALUES (%s, 1, %s)", (number + 1, name))
        rebuild = _strip(connection)
        connection.execute(f"TRUNCATE {', '.join([*COLUMNS, 'coverage'])}")  # type: ignore[arg-type]
        for made in _in_order(press):
            for table, columns in COLUMNS.items():
                with connection.cursor().copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:  # type: ignore[arg-type]
                    copy.write(made[table])
        connection.execute(_COVER)
        for definition in rebuild:
            connection.execute(definition)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET maintenance_work_mem = '1GB'")
        connection.execute("VACUUM ANALYZE")


def _in_order(press: Press) -> Iterator[dict[str, bytes]]:
    """The lines of all chunks, made beside the database by another process, never many ahead of it."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as makers:
        ahead: deque[Future[dict[str, bytes]]] = deque()
        for start in range(0, press.documents, CHUNK):
            ahead.append(makers.submit(press.lines, start))
            if len(ahead) > 4:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


_COVER = """
INSERT INTO coverage (doc_id, company_id, team_id, time, first_seen, site, source, kind, group_id, relevance, category,
    sentiment, score, confidence, risk_level, keywords)
SELECT m.doc_id, m.company_id, 1, d.published_at, d.first_seen, d.site, d.source, d.kind, d.group_id, m.relevance,
    a.category, v.sentiment, v.score, v.confidence, v.risk_level, a.keywords
FROM documents d JOIN mentions m USING (doc_id) JOIN document_analyses a USING (doc_id)
JOIN verdicts v ON v.doc_id = m.doc_id AND v.company_id = m.company_id ORDER BY d.published_at;

INSERT INTO coverage_counts (company_id, documents, positive, neutral, negative, risk_0, risk_1, risk_2, risk_3, risk_4)
SELECT company_id, count(*), count(*) FILTER (WHERE sentiment = 'positive'), count(*) FILTER (WHERE sentiment = 'neutral'),
    count(*) FILTER (WHERE sentiment = 'negative'), count(*) FILTER (WHERE risk_level = 0),
    count(*) FILTER (WHERE risk_level = 1), count(*) FILTER (WHERE risk_level = 2),
    count(*) FILTER (WHERE risk_level = 3), count(*) FILTER (WHERE risk_level = 4)
FROM coverage GROUP BY company_id
"""


def _strip(connection: psycopg.Connection[Any]) -> list[Any]:
    """Take constraints and indexes from the tables that are filled; returns the statements that give them back."""
    tables = [*COLUMNS, "coverage"]
    found = connection.execute(
        "SELECT conrelid::regclass::text, conname, contype, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE contype IN ('p', 'u', 'f') AND (conrelid = ANY(%(tables)s::regclass[]) "
        "OR confrelid = ANY(%(tables)s::regclass[])) ORDER BY contype = 'f'",
        {"tables": tables},
    ).fetchall()
    indexes = connection.execute(
        "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index "
        "WHERE indrelid = ANY(%s::regclass[]) AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)",
        (tables,),
    ).fetchall()
    for table, name, *_ in reversed(found):
        connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")  # type: ignore[arg-type]
    for index, _ in indexes:
        connection.execute(f"DROP INDEX {index}")  # type: ignore[arg-type]
    keys = [f"ALTER TABLE {table} ADD CONSTRAINT {name} {made}" for table, name, _, made in found]
    return [*(definition for _, definition in indexes), *keys]

"""A made-up press of any size for benchmarks/gateway.py: documents, mentions, verdicts and analyses, loaded with COPY."""

import hashlib
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from yuqing.text.bigrams import bigrams

COMPANIES, MENTIONS, SITES = 200, 3, 40
DOCUMENTS_A_DAY = 3000
REPRINTS = 0.2  # of the documents; a share that the demonstration's media reach, too
# The commonest characters of modern Chinese; words are made of them so that characters and words both follow Zipf's law.
CHARACTERS = (
    "的一是不了在人有我他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可她里后小么心多天而能好都然没日于起还发成事只作当"
    "想看文无开手十用主行方又如前所本见经头面公同三已老从动两长知民样现分将外但身些与高意进把法此实回二理美点月明其种声全工己话儿者向情部正名定女问"
    "力机给等几很业最间新什打便位因重被走电四第门相次东政海口使教西再平真听世气信北少关并内加化由却代军产入先山五太水万市眼体别处总才场师书比住员九"
    "笑性通目华报立马命张活难神数件安表原车白应路期叫死常提感金何更反合放做系计或司利受光王果亲界及今京务制解各任至清物台象记边共风战干接它许八特觉"
    "望直服毛林题建南度统色字请交爱让认算论百吃义科怎元社术结六功指思非流每青管夫连远资队跟带花快条院变联言权往展该领传近留红治决周保达办运武半候七"
)
INDEXES = ("documents_search", "coverage_by_team", "coverage_by_company", "coverage_by_risk", "coverage_by_group")


class Press:
    """The same documents for the same number, whoever asks."""

    def __init__(self, documents: int) -> None:
        self.documents = documents
        chance = random.Random(7)
        self.words = ["".join(chance.choices(CHARACTERS, k=chance.choice((2, 2, 2, 3, 4)))) for _ in range(20_000)]
        # Word of rank r with probability ~ 1/r: the first stands in most documents, the last in a few of a million.
        self._word_weights = _cumulated(1 / (rank + 3) for rank in range(len(self.words)))
        self._company_weights = _cumulated(1 / (rank + 5) for rank in range(COMPANIES))
        self._site_weights = _cumulated(1 / (rank + 2) for rank in range(SITES))
        self._end = datetime.now(UTC).replace(microsecond=0)

    def doc_id(self, number: int) -> str:
        """32 hex digits."""
        return hashlib.md5(b"document %d" % number).hexdigest()

    def text(self, chance: random.Random) -> str:
        """About 400 characters in sentences."""
        sentences = []
        for _ in range(chance.randrange(8, 18)):
            sentences.append("".join(chance.choices(self.words, cum_weights=self._word_weights, k=14)) + "。")
        return "".join(sentences)

    def rows(self, tables: dict[str, Any]) -> None:
        """Write every row to the COPY streams of `tables`, oldest document first."""
        groups: list[str] = []
        for number in range(self.documents):
            chance = random.Random(number)
            doc_id, time = self.doc_id(number), self._time(number, chance)
            reprint = bool(groups) and chance.random() < REPRINTS
            group = groups[-chance.randrange(1, min(len(groups), 300) + 1)] if reprint else doc_id
            if not reprint:
                groups.append(doc_id)
                del groups[:-300]
            self._document(tables, chance, doc_id, group, time)

    def _time(self, number: int, chance: random.Random) -> datetime:
        back = (self.documents - number + chance.random()) / DOCUMENTS_A_DAY
        return self._end - timedelta(days=back)

    def _document(self, tables: dict[str, Any], chance: random.Random, doc_id: str, group: str, time: datetime) -> None:
        title = "".join(chance.choices(self.words, cum_weights=self._word_weights, k=8))
        body = self.text(chance)
        site = f"site{chance.choices(range(SITES), cum_weights=self._site_weights)[0]:02}"
        url = f"https://{site}.example/{doc_id}.html"
        terms = bigrams(f"{title}\n{body}")
        if group == doc_id:
            tables["reprint_groups"].write_row((group, time))
        seen = time + timedelta(minutes=chance.randrange(1, 60))
        tables["documents"].write_row(
            (
                doc_id,
                doc_id,
                "page",
                site,
                url,
                url,
                title,
                body,
                time,
                seen,
                seen,
                site,
                "zh",
                group,
                "bench",
                "1",
                terms,
            )
        )
        sentiments = chance.choices(("positive", "neutral", "negative"), (2, 6, 2), k=MENTIONS)
        category = chance.choice(("新闻报道", "新闻报道", "公司公告", "财务报告", "评论"))
        keywords = chance.choices(self.words, cum_weights=self._word_weights, k=5)
        tables["document_analyses"].write_row(
            (doc_id, doc_id, sentiments[0], 0.1, 0.8, category, body[:40], keywords, "vllm", "bench", "1", "1", 1, 1, 1)
        )
        chosen: dict[int, None] = {}
        while len(chosen) < MENTIONS:
            chosen[chance.choices(range(1, COMPANIES + 1), cum_weights=self._company_weights)[0]] = None
        for company, sentiment in zip(chosen, sentiments, strict=True):
            risk = chance.choices(range(5), (80, 10, 6, 3, 1))[0] if sentiment == "negative" else 0
            tables["mentions"].write_row((doc_id, company, doc_id, "[]", 0.5))
            tables["verdicts"].write_row(
                (doc_id, company, doc_id, sentiment, 0.1, 0.8, risk, [], "[]", True, "vllm", "bench", "1", "1", 1, 1, 1)
            )


_LINEAGE = ("engine", "model", "prompt_version", "cleaning_version", "prompt_tokens", "completion_tokens", "latency_ms")
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


def _cumulated(weights: Iterator[float]) -> list[float]:
    total, sums = 0.0, []
    for weight in weights:
        total += weight
        sums.append(total)
    return sums


class _Lines:
    """Rows of one table as lines of COPY, held until a chunk is full: one connection takes one COPY at a time."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: list[tuple[Any, ...]] = []

    def write_row(self, row: tuple[Any, ...]) -> None:
        """Hold a row."""
        self.rows.append(row)


def load(url: str, documents: int) -> None:
    """Fill a migrated, empty database: one team `bench` with its companies and all documents."""
    press = Press(documents)
    with psycopg.connect(url) as connection:
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        connection.execute("INSERT INTO teams (id, name) VALUES (1, 'bench')")
        for number in range(COMPANIES):
            name = f"{press.words[2000 + number]}公司{number}"
            connection.execute("INSERT INTO companies (id, team_id, name) VALUES (%s, 1, %s)", (number + 1, name))
        rebuild = [
            connection.execute("SELECT pg_get_indexdef(%s::regclass)", (index,)).fetchone()[0]  # type: ignore[index]
            for index in INDEXES
        ]
        for index in INDEXES:
            connection.execute(f"DROP INDEX {index}")  # type: ignore[arg-type]
        for table in COLUMNS:
            connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")  # type: ignore[arg-type]
        # The bigrams come as an array; COPY cannot make a tsvector of it.
        connection.execute("CREATE TEMP TABLE arriving AS SELECT * FROM documents WITH NO DATA")
        connection.execute("ALTER TABLE arriving ALTER search TYPE text[] USING NULL")
        _copy(connection, press)
        for table in COLUMNS:
            connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")  # type: ignore[arg-type]
        connection.execute(
            "INSERT INTO coverage (doc_id, company_id, team_id, time, first_seen, site, source, kind, group_id, relevance, "
            "category, sentiment, score, confidence, risk_level) "
            "SELECT m.doc_id, m.company_id, 1, d.published_at, d.first_seen, d.site, d.source, d.kind, d.group_id, "
            "m.relevance, a.category, v.sentiment, v.score, v.confidence, v.risk_level FROM documents d "
            "JOIN mentions m USING (doc_id) JOIN document_analyses a USING (doc_id) "
            "JOIN verdicts v ON v.doc_id = m.doc_id AND v.company_id = m.company_id ORDER BY d.published_at"
        )
        connection.execute("SET maintenance_work_mem = '1GB'")
        for definition in rebuild:
            connection.execute(definition)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def _copy(connection: psycopg.Connection[Any], press: Press) -> None:
    tables = {name: _Lines(name) for name in COLUMNS}

    def flush() -> None:
        with connection.cursor() as cursor:
            for lines in tables.values():
                target = "arriving" if lines.name == "documents" else lines.name
                columns = ", ".join(COLUMNS[lines.name])
                with cursor.copy(f"COPY {target} ({columns}) FROM STDIN") as copy:  # type: ignore[arg-type]
                    for row in lines.rows:
                        copy.write_row(row)
                lines.rows.clear()
                if lines.name == "documents":
                    names = ", ".join(COLUMNS["documents"][:-1])
                    cursor.execute(
                        f"INSERT INTO documents ({names}, search) "  # type: ignore[arg-type]
                        f"SELECT {names}, array_to_tsvector(search) FROM arriving"
                    )
                    cursor.execute("TRUNCATE arriving")

    class _Chunked:
        def write_row(self, row: tuple[Any, ...]) -> None:
            if len(tables["documents"].rows) >= 5000:
                flush()
            tables["documents"].write_row(row)

    press.rows({**tables, "documents": _Chunked()})
    flush()

"""The tables. Keys come from yuqing.identity; every derived row carries its lineage."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy import (
    text as sql,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

_KEY = String(32)
_SHA256 = String(64)
_SENTIMENT = "sentiment IN ('positive', 'neutral', 'negative')"


class Base(DeclarativeBase):
    """All times have a zone; all JSON is JSONB; all lists of strings are text[]."""

    type_annotation_map = {
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[dict[str, Any]]: JSONB,
        list[str]: ARRAY(Text),
    }


def _created() -> Mapped[datetime]:
    return mapped_column(server_default=func.now())


class Team(Base):
    """Who owns companies, keys and corrections."""

    __tablename__ = "teams"

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    created_at: Mapped[datetime] = _created()


class Company(Base):
    """A watched company, brand or person: its names, and the words that show that a name means something else."""

    __tablename__ = "companies"
    __table_args__ = (UniqueConstraint("team_id", "name"),)

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("teams.id"))
    name: Mapped[str] = mapped_column(Text)
    aliases: Mapped[list[str]] = mapped_column(server_default=sql("'{}'"))
    exclude_words: Mapped[list[str]] = mapped_column(server_default=sql("'{}'"))
    query: Mapped[str | None] = mapped_column(Text)
    enabled: Mapped[bool] = mapped_column(Boolean, server_default=sql("true"))
    created_at: Mapped[datetime] = _created()


class Document(Base):
    """The current version of a document. `text` is what analysts read; `search` holds its bigrams."""

    __tablename__ = "documents"
    __table_args__ = (
        # The bigrams, and marks of the document's time: see gateway/queries/stretches.py.
        Index(
            "documents_search",
            sql("search_in_time(search, COALESCE(published_at, first_seen))"),
            postgresql_using="gin",
        ),
        Index("documents_by_time", sql("COALESCE(published_at, first_seen) DESC"), "doc_id"),
        Index("documents_by_group", "group_id"),
        Index("documents_by_content", "content_hash"),
    )

    doc_id: Mapped[str] = mapped_column(_KEY, primary_key=True)
    content_hash: Mapped[str] = mapped_column(_KEY)
    version: Mapped[int] = mapped_column(Integer, server_default=sql("1"))
    kind: Mapped[str] = mapped_column(String(16))
    site: Mapped[str] = mapped_column(Text)
    url: Mapped[str] = mapped_column(Text)
    canonical_url: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    published_at: Mapped[datetime | None]
    first_seen: Mapped[datetime]
    fetched_at: Mapped[datetime]
    author: Mapped[str | None] = mapped_column(Text)
    source: Mapped[str | None] = mapped_column(Text)
    language: Mapped[str] = mapped_column(String(8))
    images: Mapped[list[dict[str, Any]]] = mapped_column(server_default=sql("'[]'"))
    segments: Mapped[list[dict[str, Any]]] = mapped_column(server_default=sql("'[]'"))
    parent_url: Mapped[str | None] = mapped_column(Text)
    group_id: Mapped[str] = mapped_column(ForeignKey("reprint_groups.group_id", deferrable=True, initially="DEFERRED"))
    batch_key: Mapped[str] = mapped_column(Text)
    cleaning_version: Mapped[str] = mapped_column(Text)
    search: Mapped[Any] = mapped_column(TSVECTOR)


class DocumentVersion(Base):
    """An earlier text of a document, kept so that a verdict's quotes can always be shown."""

    __tablename__ = "document_versions"

    doc_id: Mapped[str] = mapped_column(ForeignKey("documents.doc_id", ondelete="CASCADE"), primary_key=True)
    content_hash: Mapped[str] = mapped_column(_KEY, primary_key=True)
    version: Mapped[int] = mapped_column(Integer)
    title: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    fetched_at: Mapped[datetime]
    batch_key: Mapped[str] = mapped_column(Text)


class ReprintGroup(Base):
    """Documents that carry one text (转载); the id is the first document's, and groups never merge."""

    __tablename__ = "reprint_groups"

    group_id: Mapped[str] = mapped_column(_KEY, primary_key=True)
    first_seen: Mapped[datetime]


class Signature(Base):
    """A document's MinHash (128 permutations of 32 bits, little-endian) and its place in the forest of reprints.

    Both are those of the document's first version. `bands` are the hashes under which near-duplicates meet; `parent_id` is the
    best verified earlier document and `similarity` the estimate; a document without a parent is the root of its group.
    """

    __tablename__ = "signatures"
    __table_args__ = (
        # A merge looks up what it has just inserted: with fastupdate that would be an unsorted list.
        Index("signatures_by_band", "bands", postgresql_using="gin", postgresql_with={"fastupdate": "off"}),
        Index("signatures_by_content", "content_hash"),
        Index("signatures_by_parent", "parent_id"),
    )

    doc_id: Mapped[str] = mapped_column(
        ForeignKey("documents.doc_id", ondelete="CASCADE", deferrable=True, initially="DEFERRED"), primary_key=True
    )
    content_hash: Mapped[str] = mapped_column(_KEY)
    first_seen: Mapped[datetime] = mapped_column(index=True)
    minhash: Mapped[bytes] = mapped_column(LargeBinary)
    bands: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    parent_id: Mapped[str | None] = mapped_column(_KEY)
    similarity: Mapped[float | None] = mapped_column(Float)


class StagedArticle(Base):
    """A cleaned document on its way from a Spark executor to the tables; merged only when its attempt was committed.

    Unlogged: a crash of the database empties it, and the driver, which counts, starts the batch again.
    """

    __tablename__ = "staged_articles"
    __table_args__ = {"prefixes": ["UNLOGGED"]}

    run_id: Mapped[str] = mapped_column(_KEY, primary_key=True)
    batch_key: Mapped[str] = mapped_column(Text, primary_key=True)
    partition: Mapped[int] = mapped_column(Integer, primary_key=True)
    attempt: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    line: Mapped[int] = mapped_column(Integer, primary_key=True)
    staged_at: Mapped[datetime] = _created()
    doc_id: Mapped[str] = mapped_column(_KEY)
    content_hash: Mapped[str] = mapped_column(_KEY)
    kind: Mapped[str] = mapped_column(String(16))
    site: Mapped[str] = mapped_column(Text)
    url: Mapped[str] = mapped_column(Text)
    canonical_url: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    published_at: Mapped[datetime | None]
    fetched_at: Mapped[datetime]
    author: Mapped[str | None] = mapped_column(Text)
    source: Mapped[str | None] = mapped_column(Text)
    language: Mapped[str] = mapped_column(String(8))
    segments: Mapped[list[dict[str, Any]]]
    parent_url: Mapped[str | None] = mapped_column(Text)
    cleaning_version: Mapped[str] = mapped_column(Text)
    terms: Mapped[list[str]]
    media: Mapped[list[dict[str, Any]]]
    images: Mapped[list[dict[str, Any]]] = mapped_column(server_default=sql("'[]'"))
    mentions: Mapped[list[dict[str, Any]]]
    minhash: Mapped[bytes] = mapped_column(LargeBinary)
    bands: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))


class MentionRow(Base):
    """A company in a document: every place where its name stands, and how much the document is about it."""

    __tablename__ = "mentions"
    __table_args__ = (Index("mentions_by_company", "company_id", "doc_id"),)

    doc_id: Mapped[str] = mapped_column(ForeignKey("documents.doc_id", ondelete="CASCADE"), primary_key=True)
    company_id: Mapped[int] = mapped_column(ForeignKey("companies.id", ondelete="CASCADE"), primary_key=True)
    content_hash: Mapped[str] = mapped_column(_KEY)
    spans: Mapped[list[dict[str, Any]]]
    relevance: Mapped[float] = mapped_column(Float)


class Media(Base):
    """A recording, by its content; the row exists once however many pages carry it."""

    __tablename__ = "media"

    sha256: Mapped[str] = mapped_column(_SHA256, primary_key=True)
    s3_key: Mapped[str] = mapped_column(Text)
    content_type: Mapped[str] = mapped_column(Text)
    bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = _created()


class DocumentMedia(Base):
    """Which document carries which recording."""

    __tablename__ = "document_media"

    doc_id: Mapped[str] = mapped_column(ForeignKey("documents.doc_id", ondelete="CASCADE"), primary_key=True)
    sha256: Mapped[str] = mapped_column(ForeignKey("media.sha256"), primary_key=True)
    url: Mapped[str] = mapped_column(Text)


class Upload(Base):
    """A recording that a team uploaded: it is the team's to read, also when no document carries it."""

    __tablename__ = "uploads"
    __table_args__ = (UniqueConstraint("team_id", "sha256"), Index("uploads_by_recording", "sha256"))

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("teams.id"))
    sha256: Mapped[str] = mapped_column(ForeignKey("media.sha256"))
    name: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = _created()


class TranscriptRow(Base):
    """What was said in a recording, by model and options."""

    __tablename__ = "transcripts"

    media_sha256: Mapped[str] = mapped_column(ForeignKey("media.sha256"), primary_key=True)
    options_hash: Mapped[str] = mapped_column(_KEY, primary_key=True)
    model: Mapped[str] = mapped_column(Text)
    language: Mapped[str] = mapped_column(String(8))
    duration_s: Mapped[float] = mapped_column(Float)
    text: Mapped[str] = mapped_column(Text)
    segments: Mapped[list[dict[str, Any]]]
    removed: Mapped[list[dict[str, Any]]]
    raw_key: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = _created()


class _LineageColumns:
    engine: Mapped[str] = mapped_column(Text)
    model: Mapped[str] = mapped_column(Text)
    adapter: Mapped[str | None] = mapped_column(Text)
    prompt_version: Mapped[str] = mapped_column(Text)
    cleaning_version: Mapped[str] = mapped_column(Text)
    prompt_tokens: Mapped[int] = mapped_column(Integer)
    completion_tokens: Mapped[int] = mapped_column(Integer)
    latency_ms: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class DocumentAnalysisRow(_LineageColumns, Base):
    """What the model says of a document as a whole."""

    __tablename__ = "document_analyses"
    __table_args__ = (CheckConstraint(_SENTIMENT, name="sentiment"),)

    doc_id: Mapped[str] = mapped_column(ForeignKey("documents.doc_id", ondelete="CASCADE"), primary_key=True)
    content_hash: Mapped[str] = mapped_column(_KEY)
    sentiment: Mapped[str] = mapped_column(String(8))
    score: Mapped[float] = mapped_column(Float)
    confidence: Mapped[float] = mapped_column(Float)
    category: Mapped[str] = mapped_column(Text)
    summary: Mapped[str] = mapped_column(Text)
    keywords: Mapped[list[str]]
    inherited_from: Mapped[str | None] = mapped_column(_KEY)


class VerdictRow(_LineageColumns, Base):
    """What the model says of one company in one document, with proof."""

    __tablename__ = "verdicts"
    __table_args__ = (
        CheckConstraint(_SENTIMENT, name="sentiment"),
        CheckConstraint("risk_level BETWEEN 0 AND 4", name="risk_level"),
        Index("verdicts_by_company", "company_id", "sentiment"),
    )

    doc_id: Mapped[str] = mapped_column(ForeignKey("documents.doc_id", ondelete="CASCADE"), primary_key=True)
    company_id: Mapped[int] = mapped_column(ForeignKey("companies.id", ondelete="CASCADE"), primary_key=True)
    content_hash: Mapped[str] = mapped_column(_KEY)
    sentiment: Mapped[str] = mapped_column(String(8))
    score: Mapped[float] = mapped_column(Float)
    confidence: Mapped[float] = mapped_column(Float)
    risk_level: Mapped[int] = mapped_column(SmallInteger)
    risk_types: Mapped[list[str]]
    evidence: Mapped[list[dict[str, Any]]]
    grounded: Mapped[bool] = mapped_column(Boolean)
    inherited_from: Mapped[str | None] = mapped_column(_KEY)


class Correction(Base):
    """A version of an analyst's change of a verdict; it stays in the team, and outlives the verdict that it corrects.

    `replaced` is what was shown before, with its lineage. The last version that names the verdict's `content_hash` is
    shown, unless it is the one by which the earlier ones were withdrawn.
    """

    __tablename__ = "corrections"
    __table_args__ = (
        UniqueConstraint("doc_id", "company_id", "version"),
        CheckConstraint(_SENTIMENT, name="sentiment"),
        CheckConstraint("risk_level BETWEEN 0 AND 4", name="risk_level"),
        Index("corrections_by_team", "team_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("teams.id"))
    doc_id: Mapped[str] = mapped_column(ForeignKey("documents.doc_id", ondelete="CASCADE"))
    company_id: Mapped[int] = mapped_column(ForeignKey("companies.id", ondelete="CASCADE"))
    content_hash: Mapped[str] = mapped_column(_KEY)
    version: Mapped[int] = mapped_column(Integer)
    withdrawn: Mapped[bool] = mapped_column(Boolean, server_default=sql("false"))
    sentiment: Mapped[str] = mapped_column(String(8))
    risk_level: Mapped[int] = mapped_column(SmallInteger)
    risk_types: Mapped[list[str]]
    evidence: Mapped[list[dict[str, Any]]]
    replaced: Mapped[dict[str, Any]]
    reason: Mapped[str] = mapped_column(Text)
    author: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = _created()


class Coverage(Base):
    """A company in a document, with what lists and trends sort and filter by; the verdict is the one that is shown.

    Triggers on documents, mentions, analyses, verdicts and corrections write it (docs/adr), so that whoever changes
    one of those need not know of it. `time` is the publication, or else when the document was first seen.
    """

    __tablename__ = "coverage"
    __table_args__ = (
        ForeignKeyConstraint(["doc_id", "company_id"], ["mentions.doc_id", "mentions.company_id"], ondelete="CASCADE"),
        Index(
            "coverage_by_team",
            "team_id",
            sql("time DESC"),
            "doc_id",
            postgresql_include=["company_id", "sentiment", "risk_level", "site"],
        ),
        Index(
            "coverage_by_company",
            "company_id",
            sql("time DESC"),
            "doc_id",
            postgresql_include=["team_id", "sentiment", "risk_level", "site", "category", "keywords"],
        ),
        Index(
            "coverage_by_risk",
            "team_id",
            sql("COALESCE(risk_level::int, -1) DESC"),
            sql("time DESC"),
            "doc_id",
        ),
        Index("coverage_by_group", "group_id", "team_id"),
    )

    doc_id: Mapped[str] = mapped_column(_KEY, primary_key=True)
    company_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    team_id: Mapped[int] = mapped_column(Integer)
    time: Mapped[datetime]
    first_seen: Mapped[datetime]
    site: Mapped[str] = mapped_column(Text)
    source: Mapped[str | None] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(String(16))
    group_id: Mapped[str] = mapped_column(_KEY)
    relevance: Mapped[float] = mapped_column(Float)
    category: Mapped[str | None] = mapped_column(Text)
    keywords: Mapped[list[str]] = mapped_column(server_default=sql("'{}'"))
    sentiment: Mapped[str | None] = mapped_column(String(8))
    score: Mapped[float | None] = mapped_column(Float)
    confidence: Mapped[float | None] = mapped_column(Float)
    risk_level: Mapped[int | None] = mapped_column(SmallInteger)
    corrected: Mapped[bool] = mapped_column(Boolean, server_default=sql("false"))


class CoverageCount(Base):
    """Documents of a company by shown sentiment and risk: the sum of its rows.

    A trigger on `coverage` adds rows with what has changed, which may be negative, so that writers never wait for each other;
    the gateway folds them into one a company now and then.
    """

    __tablename__ = "coverage_counts"
    __table_args__ = (Index("coverage_counts_by_company", "company_id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    company_id: Mapped[int] = mapped_column(Integer)
    documents: Mapped[int] = mapped_column(Integer)
    positive: Mapped[int] = mapped_column(Integer)
    neutral: Mapped[int] = mapped_column(Integer)
    negative: Mapped[int] = mapped_column(Integer)
    risk_0: Mapped[int] = mapped_column(Integer)
    risk_1: Mapped[int] = mapped_column(Integer)
    risk_2: Mapped[int] = mapped_column(Integer)
    risk_3: Mapped[int] = mapped_column(Integer)
    risk_4: Mapped[int] = mapped_column(Integer)


class ApiKey(Base):
    """A key to the gateway: only its SHA-256 and its first characters are kept."""

    __tablename__ = "api_keys"
    __table_args__ = (Index("api_keys_by_team", "team_id", "id"),)

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("teams.id"))
    name: Mapped[str] = mapped_column(Text)
    prefix: Mapped[str] = mapped_column(String(16))
    sha256: Mapped[str] = mapped_column(_SHA256, unique=True)
    scope: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime] = _created()
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    requests_per_minute: Mapped[int | None] = mapped_column(Integer)


class SavedSearch(Base):
    """Filters of the search page under a name; the whole team sees them. `parameters` is the page's query string."""

    __tablename__ = "saved_searches"
    __table_args__ = (UniqueConstraint("team_id", "name"),)

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("teams.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(Text)
    parameters: Mapped[str] = mapped_column(Text)
    author: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = _created()


class RateLimit(Base):
    """Until when a key has spent its requests (the virtual time of the generic cell rate algorithm).

    Unlogged: a crash of the database forgives what was spent.
    """

    __tablename__ = "rate_limits"
    __table_args__ = {"prefixes": ["UNLOGGED"]}

    key_id: Mapped[int] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"), primary_key=True)
    spent_until: Mapped[datetime]


class IdempotentRequest(Base):
    """The answer to a POST with an `Idempotency-Key`, for whoever sends it again; without status it is under way."""

    __tablename__ = "idempotent_requests"

    key_id: Mapped[int] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    fingerprint: Mapped[str] = mapped_column(_SHA256)
    status: Mapped[int | None] = mapped_column(SmallInteger)
    headers: Mapped[dict[str, Any] | None]
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = _created()


class AuditEntry(Base):
    """Who changed what, when."""

    __tablename__ = "audit_log"
    __table_args__ = (Index("audit_log_by_team", "team_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    team_id: Mapped[int | None] = mapped_column(ForeignKey("teams.id"))
    actor: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text)
    detail: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = _created()


class LedgerRow(Base):
    """A batch that a stage has settled: the row is written in the transaction that makes its effect visible."""

    __tablename__ = "ledger"
    __table_args__ = (CheckConstraint("state IN ('done', 'failed')", name="state"),)

    stage: Mapped[str] = mapped_column(String(32), primary_key=True)
    batch_key: Mapped[str] = mapped_column(Text, primary_key=True)
    state: Mapped[str] = mapped_column(String(8))
    counts: Mapped[dict[str, Any]]
    error: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime] = _created()


class AnalysisBatch(Base):
    """Texts that a team sent to be analysed by a job; deleted with its answers after a while."""

    __tablename__ = "analysis_batches"
    __table_args__ = (Index("analysis_batches_by_team", "team_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("teams.id"))
    actor: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = _created()


class AnalysisItem(Base):
    """A text of a batch, or the document that it stands for; `answer` or `problem` once it has been tried."""

    __tablename__ = "analysis_items"

    batch_id: Mapped[int] = mapped_column(ForeignKey("analysis_batches.id", ondelete="CASCADE"), primary_key=True)
    place: Mapped[int] = mapped_column(Integer, primary_key=True)
    question: Mapped[dict[str, Any]]
    answer: Mapped[dict[str, Any] | None]
    problem: Mapped[dict[str, Any] | None]
    answered_at: Mapped[datetime | None]


class CrawlRun(Base):
    """A crawl's report, loaded from reports/ on S3."""

    __tablename__ = "crawl_runs"
    __table_args__ = (Index("crawl_runs_by_site", "site", "run_id"),)

    run_id: Mapped[str] = mapped_column(Text, primary_key=True)
    site: Mapped[str] = mapped_column(Text, primary_key=True)
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime]
    report: Mapped[dict[str, Any]]


class Event(Base):
    """The outbox that feeds live updates; triggers on `coverage` write the kinds `document` and `verdict`.

    `transaction` is the one that wrote the event. Numbers are given before a commit, so that an event may appear after one with
    a higher `id`; read in the order (transaction, id) up to the oldest transaction that still runs, none is missed.
    """

    __tablename__ = "events"
    __table_args__ = (Index("events_in_order", "transaction", "id"), Index("events_by_age", "created_at"))

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    transaction: Mapped[int] = mapped_column(BigInteger, server_default=sql("(pg_current_xact_id()::text)::bigint"))
    kind: Mapped[str] = mapped_column(String(32))
    doc_id: Mapped[str | None] = mapped_column(_KEY)
    company_id: Mapped[int | None] = mapped_column(Integer)
    payload: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = _created()

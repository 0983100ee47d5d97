"""Documents, their versions and reprint groups, and where they mention companies."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Float, ForeignKey, Index, Integer, LargeBinary, String, Text
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from yuqing.database.models.base import KEY, Base, created


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

    doc_id: Mapped[str] = mapped_column(KEY, primary_key=True)
    content_hash: Mapped[str] = mapped_column(KEY)
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
    content_hash: Mapped[str] = mapped_column(KEY, primary_key=True)
    version: Mapped[int] = mapped_column(Integer)
    title: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    fetched_at: Mapped[datetime]
    batch_key: Mapped[str] = mapped_column(Text)


class ReprintGroup(Base):
    """Documents that carry one text (转载); the id is the first document's, and groups never merge."""

    __tablename__ = "reprint_groups"

    group_id: Mapped[str] = mapped_column(KEY, primary_key=True)
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
    content_hash: Mapped[str] = mapped_column(KEY)
    first_seen: Mapped[datetime] = mapped_column(index=True)
    minhash: Mapped[bytes] = mapped_column(LargeBinary)
    bands: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    parent_id: Mapped[str | None] = mapped_column(KEY)
    similarity: Mapped[float | None] = mapped_column(Float)


class StagedArticle(Base):
    """A cleaned document on its way from a Spark executor to the tables; merged only when its attempt was committed.

    Unlogged: a crash of the database empties it, and the driver, which counts, starts the batch again.
    """

    __tablename__ = "staged_articles"
    __table_args__ = {"prefixes": ["UNLOGGED"]}

    run_id: Mapped[str] = mapped_column(KEY, primary_key=True)
    batch_key: Mapped[str] = mapped_column(Text, primary_key=True)
    partition: Mapped[int] = mapped_column(Integer, primary_key=True)
    attempt: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    line: Mapped[int] = mapped_column(Integer, primary_key=True)
    staged_at: Mapped[datetime] = created()
    doc_id: Mapped[str] = mapped_column(KEY)
    content_hash: Mapped[str] = mapped_column(KEY)
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
    content_hash: Mapped[str] = mapped_column(KEY)
    spans: Mapped[list[dict[str, Any]]]
    relevance: Mapped[float] = mapped_column(Float)

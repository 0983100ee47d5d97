"""What the models and the analysts say of documents and companies."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from yuqing.database.models.base import KEY, SENTIMENT, Base, created


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
    __table_args__ = (CheckConstraint(SENTIMENT, name="sentiment"),)

    doc_id: Mapped[str] = mapped_column(ForeignKey("documents.doc_id", ondelete="CASCADE"), primary_key=True)
    content_hash: Mapped[str] = mapped_column(KEY)
    sentiment: Mapped[str] = mapped_column(String(8))
    score: Mapped[float] = mapped_column(Float)
    confidence: Mapped[float] = mapped_column(Float)
    category: Mapped[str] = mapped_column(Text)
    summary: Mapped[str] = mapped_column(Text)
    keywords: Mapped[list[str]]
    inherited_from: Mapped[str | None] = mapped_column(KEY)


class VerdictRow(_LineageColumns, Base):
    """What the model says of one company in one document, with proof."""

    __tablename__ = "verdicts"
    __table_args__ = (
        CheckConstraint(SENTIMENT, name="sentiment"),
        CheckConstraint("risk_level BETWEEN 0 AND 4", name="risk_level"),
        Index("verdicts_by_company", "company_id", "sentiment"),
    )

    doc_id: Mapped[str] = mapped_column(ForeignKey("documents.doc_id", ondelete="CASCADE"), primary_key=True)
    company_id: Mapped[int] = mapped_column(ForeignKey("companies.id", ondelete="CASCADE"), primary_key=True)
    content_hash: Mapped[str] = mapped_column(KEY)
    sentiment: Mapped[str] = mapped_column(String(8))
    score: Mapped[float] = mapped_column(Float)
    confidence: Mapped[float] = mapped_column(Float)
    risk_level: Mapped[int] = mapped_column(SmallInteger)
    risk_types: Mapped[list[str]]
    evidence: Mapped[list[dict[str, Any]]]
    grounded: Mapped[bool] = mapped_column(Boolean)
    inherited_from: Mapped[str | None] = mapped_column(KEY)


class Correction(Base):
    """A version of an analyst's change of a verdict; it stays in the team, and outlives the verdict that it corrects.

    `replaced` is what was shown before, with its lineage. The last version that names the verdict's `content_hash` is
    shown, unless it is the one by which the earlier ones were withdrawn.
    """

    __tablename__ = "corrections"
    __table_args__ = (
        UniqueConstraint("doc_id", "company_id", "version"),
        CheckConstraint(SENTIMENT, name="sentiment"),
        CheckConstraint("risk_level BETWEEN 0 AND 4", name="risk_level"),
        Index("corrections_by_team", "team_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("teams.id"))
    doc_id: Mapped[str] = mapped_column(ForeignKey("documents.doc_id", ondelete="CASCADE"))
    company_id: Mapped[int] = mapped_column(ForeignKey("companies.id", ondelete="CASCADE"))
    content_hash: Mapped[str] = mapped_column(KEY)
    version: Mapped[int] = mapped_column(Integer)
    withdrawn: Mapped[bool] = mapped_column(Boolean, server_default=sql("false"))
    sentiment: Mapped[str] = mapped_column(String(8))
    risk_level: Mapped[int] = mapped_column(SmallInteger)
    risk_types: Mapped[list[str]]
    evidence: Mapped[list[dict[str, Any]]]
    replaced: Mapped[dict[str, Any]]
    reason: Mapped[str] = mapped_column(Text)
    author: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = created()

"""What lists and counts of documents are read from; kept by triggers."""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Float,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    SmallInteger,
    String,
    Text,
)
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from yuqing.database.models.base import KEY, Base


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

    doc_id: Mapped[str] = mapped_column(KEY, primary_key=True)
    company_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    team_id: Mapped[int] = mapped_column(Integer)
    time: Mapped[datetime]
    first_seen: Mapped[datetime]
    site: Mapped[str] = mapped_column(Text)
    source: Mapped[str | None] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(String(16))
    group_id: Mapped[str] = mapped_column(KEY)
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

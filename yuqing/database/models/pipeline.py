"""What the stages have done and have to tell."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, Integer, String, Text
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from yuqing.database.models.base import KEY, Base, created


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
    finished_at: Mapped[datetime] = created()


class AnalysisBatch(Base):
    """Texts that a team sent to be analysed by a job; deleted with its answers after a while."""

    __tablename__ = "analysis_batches"
    __table_args__ = (Index("analysis_batches_by_team", "team_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("teams.id"))
    actor: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = created()


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
    doc_id: Mapped[str | None] = mapped_column(KEY)
    company_id: Mapped[int | None] = mapped_column(Integer)
    payload: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = created()

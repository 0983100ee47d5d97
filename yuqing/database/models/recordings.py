"""Audio and video, and what is said in them."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Float, ForeignKey, Identity, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from yuqing.database.models.base import KEY, SHA256, Base, created


class Media(Base):
    """A recording, by its content; the row exists once however many pages carry it."""

    __tablename__ = "media"

    sha256: Mapped[str] = mapped_column(SHA256, primary_key=True)
    s3_key: Mapped[str] = mapped_column(Text)
    content_type: Mapped[str] = mapped_column(Text)
    bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = created()


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
    created_at: Mapped[datetime] = created()


class TranscriptRow(Base):
    """What was said in a recording, by model and options."""

    __tablename__ = "transcripts"

    media_sha256: Mapped[str] = mapped_column(ForeignKey("media.sha256"), primary_key=True)
    options_hash: Mapped[str] = mapped_column(KEY, primary_key=True)
    model: Mapped[str] = mapped_column(Text)
    language: Mapped[str] = mapped_column(String(8))
    duration_s: Mapped[float] = mapped_column(Float)
    text: Mapped[str] = mapped_column(Text)
    segments: Mapped[list[dict[str, Any]]]
    removed: Mapped[list[dict[str, Any]]]
    raw_key: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = created()

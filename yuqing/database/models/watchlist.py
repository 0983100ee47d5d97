"""Teams and the companies that they watch."""

from datetime import datetime

from sqlalchemy import Boolean, ForeignKey, Identity, Integer, Text, UniqueConstraint
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from yuqing.database.models.base import Base, created


class Team(Base):
    """Who owns companies, keys and corrections."""

    __tablename__ = "teams"

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    created_at: Mapped[datetime] = created()


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
    created_at: Mapped[datetime] = created()

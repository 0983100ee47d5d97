"""The audit log: who changed or took out what, when. A line is written in the transaction of the change itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from yuqing.database.models import AuditEntry


@dataclass(frozen=True)
class AuditLine:
    """One change: `action` is `resource.verb`, `subject` is `resource:id`."""

    id: int
    created_at: datetime
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]


@dataclass(frozen=True)
class AuditPage:
    """Newest first; `next_before` is None on the last page."""

    items: tuple[AuditLine, ...]
    next_before: int | None


@dataclass(frozen=True)
class AuditFilter:
    """Which lines; `before` is an id."""

    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None


async def note(
    connection: AsyncConnection, team_id: int | None, actor: str, action: str, subject: str, detail: Mapping[str, Any]
) -> None:
    """Add a line; `detail` must hold no key and no text."""
    values = {"team_id": team_id, "actor": actor, "action": action, "subject": subject, "detail": dict(detail)}
    await connection.execute(insert(AuditEntry).values(values))


async def entries(connection: AsyncConnection, team_id: int, wanted: AuditFilter, limit: int) -> AuditPage:
    """A page of the team's lines."""
    columns = (getattr(AuditEntry, name) for name in AuditLine.__dataclass_fields__)
    statement = select(*columns).where(AuditEntry.team_id == team_id).order_by(AuditEntry.id.desc()).limit(limit + 1)
    if wanted.action is not None:
        statement = statement.where(AuditEntry.action == wanted.action)
    if wanted.since is not None:
        statement = statement.where(AuditEntry.created_at >= wanted.since)
    if wanted.until is not None:
        statement = statement.where(AuditEntry.created_at < wanted.until)
    if wanted.before is not None:
        statement = statement.where(AuditEntry.id < wanted.before)
    rows = [AuditLine(*row) for row in await connection.execute(statement)]
    return AuditPage(tuple(rows[:limit]), rows[limit - 1].id if len(rows) > limit else None)

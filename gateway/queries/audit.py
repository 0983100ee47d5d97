"""The audit log: who changed or took out what, when. A line is written in the transaction of the change itself."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from yuqing.database.models import AuditEntry


async def note(
    connection: AsyncConnection, team_id: int | None, actor: str, action: str, subject: str, detail: Mapping[str, Any]
) -> None:
    """Add a line; `action` is `resource.verb`, `subject` is `resource:id`; `detail` must hold no key and no text."""
    values = {"team_id": team_id, "actor": actor, "action": action, "subject": subject, "detail": dict(detail)}
    await connection.execute(insert(AuditEntry).values(values))

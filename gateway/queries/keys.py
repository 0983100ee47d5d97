"""API keys and the teams that hold them."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from yuqing.database.models import ApiKey, AuditEntry, Team

# "Last used" is for people who look for forgotten keys: a minute's precision saves a write a request.
TOUCH_EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class KeyRecord:
    """A valid key: not expired, not revoked."""

    key_id: int
    team_id: int
    team: str
    name: str
    prefix: str
    sha256: str
    scope: str
    last_used_at: datetime | None


def _valid() -> list[object]:
    return [ApiKey.revoked_at.is_(None), or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now())]


async def _find(connection: AsyncConnection, condition: object) -> KeyRecord | None:
    statement = (
        select(
            ApiKey.id,
            ApiKey.team_id,
            Team.name,
            ApiKey.name,
            ApiKey.prefix,
            ApiKey.sha256,
            ApiKey.scope,
            ApiKey.last_used_at,
        )
        .join(Team, Team.id == ApiKey.team_id)
        .where(condition, *_valid())  # type: ignore[arg-type]
    )
    row = (await connection.execute(statement)).first()
    return KeyRecord(*row) if row else None


async def find_by_hash(connection: AsyncConnection, sha256: str) -> KeyRecord | None:
    """The valid key with this SHA-256 (64 hex digits)."""
    return await _find(connection, ApiKey.sha256 == sha256)


async def find_by_id(connection: AsyncConnection, key_id: int) -> KeyRecord | None:
    """The key of a session, if it is still valid."""
    return await _find(connection, ApiKey.id == key_id)


async def touch(connection: AsyncConnection, key_id: int) -> None:
    """Note that the key was used, to the minute."""
    old = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < func.now() - TOUCH_EVERY)
    await connection.execute(update(ApiKey).where(ApiKey.id == key_id, old).values(last_used_at=func.now()))


@dataclass(frozen=True)
class NewKey:
    """What is stored of a key that is being made; the key itself is not."""

    name: str
    prefix: str
    sha256: str
    scope: str
    expires_at: datetime | None


def store_key(connection: Connection, team: str, key: NewKey) -> int:
    """Add a key, and its team when that does not exist; returns the key's id. Written to the audit log."""
    connection.execute(upsert(Team).values(name=team).on_conflict_do_nothing(index_elements=["name"]))
    team_id = connection.execute(select(Team.id).where(Team.name == team)).scalar_one()
    key_id = connection.execute(
        insert(ApiKey)
        .values(
            team_id=team_id,
            name=key.name,
            prefix=key.prefix,
            sha256=key.sha256,
            scope=key.scope,
            expires_at=key.expires_at,
        )
        .returning(ApiKey.id)
    ).scalar_one()
    connection.execute(
        insert(AuditEntry).values(
            team_id=team_id,
            actor="command line",
            action="key.create",
            subject=f"key:{key_id}",
            detail={"name": key.name, "prefix": key.prefix, "scope": key.scope},
        )
    )
    return key_id


def revoke(connection: Connection, prefix: str) -> int:
    """Revoke the valid keys with this shown prefix; returns how many there were. Written to the audit log."""
    rows = connection.execute(
        update(ApiKey)
        .where(ApiKey.prefix == prefix, ApiKey.revoked_at.is_(None))
        .values(revoked_at=func.now())
        .returning(ApiKey.id, ApiKey.team_id, ApiKey.name)
    ).all()
    for key_id, team_id, name in rows:
        connection.execute(
            insert(AuditEntry).values(
                team_id=team_id,
                actor="command line",
                action="key.revoke",
                subject=f"key:{key_id}",
                detail={"name": name, "prefix": prefix},
            )
        )
    return len(rows)

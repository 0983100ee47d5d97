"""API keys and the teams that hold them."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, TextClause, func, insert, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from yuqing.database.models import ApiKey, AuditEntry, Team

# "Last used" is for people who look for forgotten keys: a minute's precision saves a write a request.
TOUCH_EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class Limit:
    """Requests a minute in the long run; `burst` of them may come at once."""

    requests_per_minute: int
    burst: int


@dataclass(frozen=True)
class KeyRecord:
    """A valid key: not expired, not revoked. `wait_s` > 0: it has spent its requests for so many seconds."""

    key_id: int
    team_id: int
    team: str
    name: str
    prefix: str
    sha256: str
    scope: str
    last_used_at: datetime | None
    expires_at: datetime | None
    wait_s: float = 0


@dataclass(frozen=True)
class NewKey:
    """What is stored of a key that is being made; the key itself is not."""

    name: str
    prefix: str
    sha256: str
    scope: str
    expires_at: datetime | None
    requests_per_minute: int | None = None


# Key, team, use and limit in one statement, because every request begins with it. The limit is the generic cell rate
# algorithm: a request moves `spent_until` on by one step, and none may move it further than `burst` steps ahead of now;
# `requests` are taken at once, or none of them.
_ENTER = """
WITH found AS (
    SELECT k.id, k.team_id, t.name AS team, k.name, k.prefix, k.sha256, k.scope, k.last_used_at, k.expires_at,
        interval '1 minute' / COALESCE(k.requests_per_minute, :rate) AS step
    FROM api_keys k JOIN teams t ON t.id = k.team_id
    WHERE {condition} AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
), touched AS (
    UPDATE api_keys SET last_used_at = now() FROM found
    WHERE api_keys.id = found.id AND (found.last_used_at IS NULL OR found.last_used_at < now() - CAST(:every AS interval))
), taken AS (
    INSERT INTO rate_limits AS spent (key_id, spent_until)
    SELECT id, clock_timestamp() + :requests * step FROM found WHERE :limited
    ON CONFLICT (key_id) DO UPDATE SET spent_until
        = GREATEST(spent.spent_until, clock_timestamp()) + :requests * (SELECT step FROM found)
    WHERE GREATEST(spent.spent_until, clock_timestamp()) + :requests * (SELECT step FROM found)
        <= clock_timestamp() + :burst * (SELECT step FROM found)
    RETURNING spent_until
)
SELECT found.id, found.team_id, found.team, found.name, found.prefix, found.sha256, found.scope, found.last_used_at,
    found.expires_at,
    CAST(CASE WHEN NOT :limited OR EXISTS (SELECT FROM taken) THEN 0 ELSE GREATEST(0.001, EXTRACT(epoch FROM
        (SELECT spent_until FROM rate_limits WHERE key_id = found.id) - clock_timestamp() - (:burst - :requests) * found.step))
    END AS float) AS wait_s
FROM found
"""
_BY_HASH = text(_ENTER.format(condition="k.sha256 = :sought"))
_BY_ID = text(_ENTER.format(condition="k.id = :sought"))


async def _enter(
    connection: AsyncConnection, statement: TextClause, sought: object, limit: Limit | None, requests: int = 1
) -> KeyRecord | None:
    values = {
        "sought": sought,
        "every": TOUCH_EVERY,
        "limited": limit is not None,
        "rate": limit.requests_per_minute if limit else 60,
        "burst": limit.burst if limit else 1,
        "requests": requests,
    }
    row = (await connection.execute(statement, values)).first()
    return KeyRecord(*row) if row else None


async def enter_by_hash(
    connection: AsyncConnection, sha256: str, limit: Limit | None, requests: int = 1
) -> KeyRecord | None:
    """The valid key with this SHA-256 (64 hex digits); its use is noted, and `requests` are taken from its limit."""
    return await _enter(connection, _BY_HASH, sha256, limit, requests)


async def enter_by_id(connection: AsyncConnection, key_id: int) -> KeyRecord | None:
    """The key of a session, if it is still valid; its use is noted."""
    return await _enter(connection, _BY_ID, key_id, None)


@dataclass(frozen=True)
class ListedKey:
    """A key as its team's administrators see it; the key itself was shown once."""

    id: int
    prefix: str
    name: str
    scope: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    requests_per_minute: int | None


_LISTED = tuple(getattr(ApiKey, name) for name in ListedKey.__dataclass_fields__)


async def list_keys(
    connection: AsyncConnection, team_id: int, *, prefix: str | None = None, key_id: int | None = None
) -> tuple[ListedKey, ...]:
    """The team's keys (those that begin so, or this one), newest first; revoked and expired ones too."""
    statement = select(*_LISTED).where(ApiKey.team_id == team_id).order_by(ApiKey.id.desc())
    if prefix is not None:
        statement = statement.where(ApiKey.prefix.startswith(prefix, autoescape=True))
    if key_id is not None:
        statement = statement.where(ApiKey.id == key_id)
    return tuple(ListedKey(*row) for row in await connection.execute(statement))


async def insert_key(connection: AsyncConnection, team_id: int, key: NewKey) -> int:
    """Add a key of a team that exists; returns its id. The caller writes the audit log."""
    values = {"team_id": team_id, **asdict(key)}
    return int((await connection.execute(insert(ApiKey).values(values).returning(ApiKey.id))).scalar_one())


async def end_key(connection: AsyncConnection, team_id: int, key_id: int, *, after: timedelta | None = None) -> bool:
    """Revoke the team's key now, or let it expire `after` a while; False when it is not valid any more."""
    soon = func.now() + after if after else func.now()
    values = {"expires_at": func.least(func.coalesce(ApiKey.expires_at, soon), soon)} if after else {"revoked_at": soon}
    valid = [ApiKey.revoked_at.is_(None), or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now())]
    ended = update(ApiKey).where(ApiKey.team_id == team_id, ApiKey.id == key_id, *valid).values(values)
    return bool((await connection.execute(ended)).rowcount)


async def successor_of(connection: AsyncConnection, team_id: int, key_id: int) -> int | None:
    """The id of the key that replaced this one, from the audit log; None when it was not rotated."""
    replaced = select(AuditEntry.subject).where(
        AuditEntry.team_id == team_id,
        AuditEntry.action == "key.rotate",
        AuditEntry.detail["replaces"].as_integer() == key_id,
    )
    subject = (await connection.execute(replaced.limit(1))).scalar()
    return int(subject.removeprefix("key:")) if subject else None


def store_key(connection: Connection, team: str, key: NewKey) -> int:
    """Add a key, and its team when that does not exist; returns the key's id. Written to the audit log."""
    connection.execute(upsert(Team).values(name=team).on_conflict_do_nothing(index_elements=["name"]))
    team_id = connection.execute(select(Team.id).where(Team.name == team)).scalar_one()
    key_id = connection.execute(insert(ApiKey).values(team_id=team_id, **asdict(key)).returning(ApiKey.id)).scalar_one()
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

"""Rows that go by age: crawls' reports, authors' names, the audit log; in short transactions, which hold nobody up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine, text

from yuqing.database import session
from yuqing.settings import RetentionSettings

_AT_ONCE = 2000


@dataclass(frozen=True)
class _Kind:
    """Which rows of a table go, and how: deleted, or one column emptied."""

    table: str
    where: str
    empty: str = ""

    def count(self) -> str:
        return f"SELECT count(*) FROM {self.table} WHERE {self.where}"

    def step(self) -> str:
        chosen = (
            f"ctid = ANY(ARRAY(SELECT ctid FROM {self.table} WHERE {self.where} LIMIT :most FOR UPDATE SKIP LOCKED))"
        )
        if self.empty:
            return f"UPDATE {self.table} SET {self.empty} = NULL WHERE {chosen}"
        return f"DELETE FROM {self.table} WHERE {chosen}"


_KINDS = {
    # The newest run of a site stays: it says when the site was last well.
    "crawl_runs": _Kind(
        "crawl_runs",
        "started_at < :limit AND run_id <> (SELECT max(run_id) FROM crawl_runs own WHERE own.site = crawl_runs.site)",
    ),
    "authors": _Kind("documents", "author IS NOT NULL AND fetched_at < :limit", empty="author"),
    "audit": _Kind("audit_log", "created_at < :limit"),
}


@dataclass(frozen=True)
class ExpiredRows:
    """Rows of a kind that are older than the setting."""

    kind: str
    days: int
    limit: datetime
    rows: int


def expired_rows(pool: Engine, settings: RetentionSettings, now: datetime) -> list[ExpiredRows]:
    """What the settings let go at this moment; kinds without a number of days are left out. Raises DatabaseAway."""
    days = {"crawl_runs": settings.reports_days, "authors": settings.authors_days, "audit": settings.audit_days}
    found = []
    for kind, number in days.items():
        if number is None:
            continue
        limit = now - timedelta(days=number)
        with session.transaction(pool) as connection:
            rows = connection.execute(text(_KINDS[kind].count()), {"limit": limit}).scalar_one()
        found.append(ExpiredRows(kind, number, limit, rows))
    return found


def delete_rows(pool: Engine, expired: ExpiredRows) -> int:
    """Delete or empty them; returns how many. Killed on the way, the next run goes on. Raises DatabaseAway."""
    done = 0
    while True:
        with session.transaction(pool) as connection:
            step = connection.execute(text(_KINDS[expired.kind].step()), {"limit": expired.limit, "most": _AT_ONCE})
        done += step.rowcount
        if not step.rowcount:
            return done

"""What crawls have brought and what went wrong: the reports that the cleaning has loaded into `crawl_runs`.

A report is the crawler's JSON (docs/crawler.md); fields that are missing or of another kind count as 0.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection
from ulid import ULID

from yuqing.contracts import now

RunState = Literal["ok", "flagged", "failed", "stopped"]

_TIME_CHARACTERS = 10  # of a ULID


@dataclass(frozen=True)
class Flag:
    """What an operator should look at: `kind` for programs, `message` for people."""

    kind: str
    message: str


@dataclass(frozen=True)
class CrawlRun:
    """A site's crawl. `state`: stopped by a signal, failed (nothing could be read), flagged, or ok."""

    run_id: str
    site: str
    state: RunState
    started_at: datetime
    finished_at: datetime
    complete: bool
    found: int
    found_new: int
    new_articles: int
    via_browser: int
    pages: int
    media: int
    quarantined: int
    errors: int
    flags: tuple[Flag, ...]


@dataclass(frozen=True)
class CrawlRunPage:
    """Newest first; `next_before` is None on the last page."""

    items: tuple[CrawlRun, ...]
    next_before: str | None


@dataclass(frozen=True)
class CrawlRunDetail(CrawlRun):
    """A crawl with its whole report."""

    report: dict[str, Any]


@dataclass(frozen=True)
class SiteDay:
    """What a site's crawls of the last 24 hours brought together."""

    runs: int
    new_articles: int
    errors: int
    quarantined: int


@dataclass(frozen=True)
class SiteRuns:
    """A site's last crawl and its last day; None where there was none."""

    last: CrawlRun | None
    day: SiteDay | None


def _number(name: str) -> str:
    value = f"report->'{name}'"
    return f"CASE WHEN jsonb_typeof({value}) = 'number' THEN trunc(({value})::numeric)::bigint ELSE 0 END"


_COUNTS = ("found", "found_new", "new_articles", "pages", "media", "quarantined")
_COLUMNS = ", ".join(
    [
        "run_id",
        "site",
        "started_at",
        "finished_at",
        "report->'complete' = 'true' AS complete",
        "report->>'reason' AS reason",
        "report->'flags' AS flags",
        *(f"{_number(name)} AS {name}" for name in _COUNTS),
        f"{_number('new_via_browser')} AS via_browser",
        f"{_number('error_count')} AS errors",
        # As the crawler's own exit status has it.
        f"{_number('error_count')} > 0 AND NOT COALESCE(report->'by_status' ? '200', false) AS unreadable",
    ]
)
_STOPPED = "shutdown"  # Scrapy's name for a run that a signal has ended

_PAGE = text(
    f"SELECT {_COLUMNS} FROM crawl_runs WHERE run_id < :before AND (CAST(:site AS text) IS NULL OR site = :site) "
    f"AND (NOT :problems OR jsonb_path_exists(report, 'strict $.flags[0]', '{{}}', true) OR {_number('error_count')} > 0 "
    "AND NOT COALESCE(report->'by_status' ? '200', false)) ORDER BY run_id DESC, site LIMIT :limit"
)
_ONE = text(f"SELECT {_COLUMNS}, report FROM crawl_runs WHERE run_id = :run_id ORDER BY site LIMIT 1")
# From one site to the next in the index, so that a million runs are not read for the names of a hundred sites.
_LAST = text(f"""
WITH RECURSIVE sites AS (
    SELECT min(site) AS name FROM crawl_runs
    UNION ALL
    SELECT (SELECT min(site) FROM crawl_runs WHERE site > sites.name) FROM sites WHERE sites.name IS NOT NULL
)
SELECT last.* FROM sites CROSS JOIN LATERAL (
    SELECT {_COLUMNS} FROM crawl_runs WHERE crawl_runs.site = sites.name ORDER BY run_id DESC LIMIT 1
) AS last
""")
_DAY = text(
    f"SELECT site, count(*) AS runs, sum({_number('new_articles')}) AS new_articles, "
    f"sum({_number('error_count')}) AS errors, sum({_number('quarantined')}) AS quarantined "
    "FROM crawl_runs WHERE run_id >= :first GROUP BY site"
)


def _state(row: Row[Any]) -> RunState:
    if row.reason == _STOPPED:
        return "stopped"
    if row.unreadable:
        return "failed"
    return "flagged" if isinstance(row.flags, list) and row.flags else "ok"


def _run(row: Row[Any]) -> CrawlRun:
    flags = row.flags if isinstance(row.flags, list) else []
    return CrawlRun(
        run_id=row.run_id,
        site=row.site,
        state=_state(row),
        started_at=row.started_at,
        finished_at=row.finished_at,
        complete=bool(row.complete),
        found=row.found,
        found_new=row.found_new,
        new_articles=row.new_articles,
        via_browser=row.via_browser,
        pages=row.pages,
        media=row.media,
        quarantined=row.quarantined,
        errors=row.errors,
        flags=tuple(
            Flag(str(flag.get("kind", "")), str(flag.get("message", ""))) for flag in flags if isinstance(flag, dict)
        ),
    )


async def crawl_runs(
    connection: AsyncConnection, *, site: str | None, problems: bool, before: str | None, limit: int
) -> CrawlRunPage:
    """A page of the crawls (of a site), newest first; `problems`: only those that failed or were flagged."""
    values = {"site": site, "problems": problems, "before": before or "~", "limit": limit + 1}
    runs = [_run(row) for row in await connection.execute(_PAGE, values)]
    return CrawlRunPage(tuple(runs[:limit]), runs[limit - 1].run_id if len(runs) > limit else None)


async def read_crawl_run(connection: AsyncConnection, run_id: str) -> CrawlRunDetail | None:
    """A crawl with its report."""
    row = (await connection.execute(_ONE, {"run_id": run_id})).first()
    return CrawlRunDetail(**vars(_run(row)), report=row.report) if row else None


async def site_runs(connection: AsyncConnection) -> dict[str, SiteRuns]:
    """Site -> its last crawl and its last day, for all sites that were ever crawled; two statements."""
    last = {row.site: _run(row) for row in await connection.execute(_LAST)}
    first = str(ULID.from_datetime(now() - timedelta(days=1)))[:_TIME_CHARACTERS]
    days = {
        row.site: SiteDay(row.runs, int(row.new_articles), int(row.errors), int(row.quarantined))
        for row in await connection.execute(_DAY, {"first": first})
    }
    return {site: SiteRuns(run, days.get(site)) for site, run in last.items()}

"""The report of one site's crawl: what came, what was known, what failed. It goes to reports/ on S3.

Keys are reports/crawl/<site>/<YYYY-MM-DD>/<run_id>.json, the day that of the run's start (UTC). Run ids are ULIDs, so that a
site's keys are in the order of its runs.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Self

from scrapy import Request, signals
from scrapy.crawler import Crawler
from scrapy.http import Response
from twisted.python.failure import Failure

from crawler.site_crawler import MEDIA, of
from yuqing.contracts import now
from yuqing.objects import ObjectStore

MAX_ERRORS = 20  # addresses named in a report; all errors are counted
MAX_GIVEN_UP = 200
MAX_CIRCUITS = 50
MAX_TRAPS = 20
MAX_REASON = 500  # characters of an error's reason that are kept
REPORTS = "reports/crawl/"
# Neither PostgreSQL's jsonb nor a terminal takes them.
_UNSTORABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")

STOPPED = "shutdown"  # Scrapy's name for a run that a signal has ended


@dataclass
class CrawlReport:
    """Counts of one site's crawl.

    `found` are distinct article links that lists, feeds, sitemaps and searches announced, `found_new` those that no
    earlier run had settled, `resting` those of the latter that failed and are not due yet; `collected` are pages in hand,
    `new_articles` and `new_via_browser` those on S3. A run is `complete` when it was neither stopped nor limited by
    --max-pages. `flags` ({kind, message}) say what an operator should look at, `yielded` is what runs are compared by
    (crawler/yields.py), `yields` that of the earlier complete runs ({at, ...}) for the next run to be compared with,
    `crawl_delays` the seconds that hosts' robots.txt ask for.
    """

    run_id: str
    site: str
    started: datetime
    finished: datetime | None = None
    reason: str = "running"
    complete: bool = False
    flags: list[dict[str, str]] = field(default_factory=list)
    found: int = 0
    pages: int = 0
    new_articles: int = 0
    new_via_browser: int = 0
    collected: int = 0
    seen_skipped: int = 0
    resting: int = 0
    revisited: int = 0
    duplicates: int = 0
    gone: int = 0
    forbidden_by_robots: int = 0
    refused_addresses: int = 0
    by_status: Counter[int] = field(default_factory=Counter)
    via_browser: int = 0
    media: int = 0
    media_failed: int = 0
    quarantined: int = 0
    batches: int = 0
    bytes: int = 0
    error_count: int = 0
    errors: list[dict[str, str]] = field(default_factory=list)
    blocked: Counter[str] = field(default_factory=Counter)
    circuits: list[dict[str, str]] = field(default_factory=list)
    not_asked: int = 0
    traps: list[dict[str, Any]] = field(default_factory=list)
    given_up_count: int = 0
    given_up: list[dict[str, str]] = field(default_factory=list)
    crawl_delays: dict[str, float] = field(default_factory=dict)
    proxies: list[dict[str, Any]] = field(default_factory=list)
    yielded: dict[str, Any] = field(default_factory=dict)
    yields: list[dict[str, Any]] = field(default_factory=list)

    def error(self, url: str, reason: str) -> None:
        """Count a failure; the first ones are kept with their address."""
        self.error_count += 1
        if len(self.errors) < MAX_ERRORS:
            self.errors.append({"url": storable(url), "reason": storable(reason)[:MAX_REASON]})

    def flag(self, kind: str, message: str) -> None:
        """Say what an operator should look at."""
        self.flags.append({"kind": kind, "message": storable(message)})

    @property
    def found_new(self) -> int:
        """Announced articles that no earlier run had settled."""
        return self.found - self.seen_skipped

    @property
    def seconds(self) -> float | None:
        """How long the run took; None while it runs."""
        return (self.finished - self.started).total_seconds() if self.finished else None

    def gave_up(self, url: str, reason: str) -> None:
        """Count an address that will not be tried again; the first ones are kept with the last reason."""
        self.given_up_count += 1
        if len(self.given_up) < MAX_GIVEN_UP:
            self.given_up.append({"url": storable(url), "reason": storable(reason)[:MAX_REASON]})

    def circuit(self, host: str, state: str, reason: str) -> None:
        """A host was paused, its circuit opened or closed, or it was cut for the rest of the run; the first are kept."""
        if len(self.circuits) < MAX_CIRCUITS:
            at = now().isoformat(timespec="seconds")
            self.circuits.append({"host": host, "state": state, "at": at, "reason": storable(reason)[:MAX_REASON]})

    def cut(self, limit: str, pattern: str, url: str) -> None:
        """Count a request beyond a limit of the site's file; the first patterns are kept, each with an example."""
        for trap in self.traps:
            if trap["limit"] == limit and trap["pattern"] == storable(pattern):
                trap["count"] += 1
                return
        if len(self.traps) < MAX_TRAPS:
            self.traps.append({"limit": limit, "pattern": storable(pattern), "count": 1, "example": storable(url)})

    @property
    def failed(self) -> bool:
        """Whether nothing at all could be read of the site; a run that was told to stop has not failed."""
        return self.error_count > 0 and 200 not in self.by_status and self.reason != STOPPED

    def as_json(self) -> dict[str, Any]:
        """The report as JSON-ready values."""
        values = asdict(self)
        values["started"] = self.started.isoformat()
        values["finished"] = self.finished.isoformat() if self.finished else None
        values["seconds"] = self.seconds
        values["found_new"] = self.found_new
        values["blocked"] = dict(self.blocked.most_common())
        values["by_status"] = {str(status): count for status, count in sorted(self.by_status.items())}
        return values

    def write(self, store: ObjectStore) -> str:
        """Store the report; returns its key. Raises ObjectStoreError."""
        key = f"{REPORTS}{self.site}/{self.started:%Y-%m-%d}/{self.run_id}.json"
        data = json.dumps(self.as_json(), ensure_ascii=False, indent=1).encode()
        store.put(key, data, content_type="application/json")
        return key


def storable(text: str, instead: str = "?") -> str:
    """A text without control characters and lone surrogates (JSON may hold half a character), which pages may have."""
    return _UNSTORABLE.sub(instead, text)


class ReportExtension:
    """Counts what the downloader receives. Articles are counted when their batch is safe (BatchWriter)."""

    def __init__(self, report: CrawlReport) -> None:
        self.report = report

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's way in."""
        extension = cls(of(crawler).report)
        crawler.signals.connect(extension.downloaded, signals.response_downloaded)
        crawler.signals.connect(extension.failed, signals.spider_error)
        crawler.signals.connect(extension.closed, signals.spider_closed)
        return extension

    def downloaded(self, response: Response, request: Request) -> None:
        """Every answer of a server counts, also redirects, failures and those that will be tried again."""
        role = request.meta.get("role")
        if role is None or role == MEDIA:
            return
        self.report.pages += 1
        self.report.by_status[response.status] += 1
        self.report.bytes += len(response.body)
        if "browser" in request.meta:
            self.report.via_browser += 1

    def failed(self, failure: Failure, response: Response | Failure) -> None:
        """A page that our own code could not read: a bug here, and no reason to lose sight of the page."""
        url = getattr(response, "url", "") or getattr(getattr(response, "request", None), "url", "")
        self.report.error(url, f"{type(failure.value).__name__}: {failure.getErrorMessage()}")

    def closed(self, reason: str) -> None:
        """The crawl's end and its reason."""
        self.report.reason = reason
        self.report.finished = now()

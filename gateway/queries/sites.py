"""The sites and how they are: their files beside what their crawls brought."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from croniter import croniter

from gateway.media_weights import SHIPPED
from gateway.queries.crawl_runs import CrawlRun, SiteDay, SiteRuns
from yuqing.settings import Settings
from yuqing.site_files import SiteError, sort_site_files
from yuqing.sites import Site

SiteState = Literal["broken", "failed", "late", "flagged", "never", "ok"]
# The worst first: the order of the list.
STATES: tuple[SiteState, ...] = ("broken", "failed", "late", "flagged", "never", "ok")

# One missed time may be a run that still goes on or a cluster that was busy; the next one is a schedule that does not work.
_MISSED = 2
# A crawl is known when it has ended and the next clean has loaded its report.
_REPORTED = timedelta(hours=1)
_CHINA = ZoneInfo("Asia/Shanghai")  # the zone of a site's schedule


@dataclass(frozen=True)
class SiteHealth:
    """A site: `state` and why. broken: its file cannot be read; failed: its last crawl read nothing; late: it was not
    crawled at its last two times; flagged: its last crawl says that somebody should look; never: not crawled yet.
    """

    name: str
    state: SiteState
    reason: str
    title: str
    media_type: str | None
    weight: float | None
    schedule: str | None
    verified: date | None
    last: CrawlRun | None
    day: SiteDay | None


def site_healths(settings: Settings, runs: dict[str, SiteRuns], moment: datetime) -> tuple[SiteHealth, ...]:
    """Every site that has a file or was crawled, the worst first, then by name. It reads files: call it in a thread."""
    folders = tuple(folder for folder in settings.crawler.sites_folders or (SHIPPED,) if folder.is_dir())
    sites, broken, unusable = _read(folders, tuple(_stamps(folders)))
    found = [_health(name, sites.get(name), broken.get(name), runs.get(name), moment) for name in {*sites, *broken}]
    # Without any files (a gateway whose image has none) crawls alone speak for the sites.
    found += [_crawled(name, each, unusable) for name, each in runs.items() if name not in sites and name not in broken]
    return tuple(sorted(found, key=lambda site: (STATES.index(site.state), site.name)))


def _stamps(folders: tuple[Path, ...]) -> Iterator[tuple[str, int, int]]:
    for folder in folders:
        for path in sorted(folder.glob("*.yaml")):
            found = path.stat()
            yield path.name, found.st_mtime_ns, found.st_size


# A file takes ten milliseconds to read and check, and few of them ever change.
@lru_cache(maxsize=4)
def _read(
    folders: tuple[Path, ...],
    _stamps: tuple[tuple[str, int, int], ...],
) -> tuple[dict[str, Site], dict[str, SiteError], str]:
    """The sites, the broken files, and why there are none at all."""
    try:
        files, broken = sort_site_files(folders)
    except SiteError as error:
        return {}, {}, error.message
    return {name: file.site for name, file in files.items()}, broken, ""


def _crawled(name: str, runs: SiteRuns, unusable: str) -> SiteHealth:
    state, reason = _of_last(runs.last)
    return SiteHealth(name, state, reason or unusable, name, None, None, None, None, runs.last, runs.day)


def _health(
    name: str, site: Site | None, problem: SiteError | None, runs: SiteRuns | None, moment: datetime
) -> SiteHealth:
    last, day = (runs.last, runs.day) if runs else (None, None)
    if site is None:
        reason = problem.message if problem else ""
        return SiteHealth(name, "broken", reason, name, None, None, None, None, last, day)
    state, reason = _of_last(last)
    if state != "failed" and last is not None and last.started_at < _due(site.schedule, moment):
        state, reason = "late", f"not crawled at its last {_MISSED} times ({site.schedule})"
    return SiteHealth(
        name, state, reason, site.title, site.media_type, site.weight, site.schedule, site.verified, last, day
    )


def _of_last(last: CrawlRun | None) -> tuple[SiteState, str]:
    if last is None:
        return "never", "no crawl has been reported yet"
    if last.state == "failed":
        return "failed", f"nothing could be read in the last crawl: {last.errors} errors"
    if last.flags:
        return "flagged", last.flags[0].message
    return "ok", ""


def _due(schedule: str, moment: datetime) -> datetime:
    """The time from which on a site that keeps its schedule has been crawled."""
    times = croniter(schedule, (moment - _REPORTED).astimezone(_CHINA))
    for _ in range(_MISSED):
        due: datetime = times.get_prev(datetime)
    return due

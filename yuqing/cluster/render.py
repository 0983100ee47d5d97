"""Crawl CronJobs from the sites' schedules: what `deploy/k8s/base/crawl` has besides how a crawl's pod looks.

Sites of one schedule are crawled together, those that need Chromium apart from the others, at most so many in one CronJob. Which of
several CronJobs a site belongs to depends on its name alone, so that a site that comes or goes moves no other one, as long as
their number stays.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import xxhash
import yaml

from yuqing.errors import YuqingError
from yuqing.settings import Settings
from yuqing.site_files import load_sites
from yuqing.sites import Site

# Where the crawler's own definitions lie beside this package.
SHIPPED = Path(__file__).parents[2] / "crawler" / "sites"
TIME_ZONE = "Asia/Shanghai"  # that of a site's schedule (yuqing.sites)
_EVERY = re.compile(r"\*/(\d+) \* \* \* \*")
_HEADER = "# Written by `yuqing k8s render`; edit the sites' `schedule` and render again.\n"


class NoSites(YuqingError):
    """There is nothing to crawl."""


@dataclass(frozen=True)
class Group:
    """Sites that one CronJob crawls."""

    name: str
    schedule: str
    browser: bool
    sites: tuple[str, ...]


def sites_of(settings: Settings) -> dict[str, Site]:
    """The sites of crawler.sites_folders, or the shipped ones. Raises SiteError, NoSites."""
    folders = settings.crawler.sites_folders or (SHIPPED,)
    sites = load_sites(folders)
    if not sites:
        raise NoSites(
            f"there is no site in {', '.join(map(str, folders))}",
            cure="set YUQING_CRAWLER__SITES_FOLDERS to where they are",
        )
    return sites


def groups(sites: Iterable[Site], sites_a_group: int) -> list[Group]:
    """The sites by schedule and need of a browser, in groups of about `sites_a_group`; in the order of their names."""
    together: dict[tuple[str, bool], list[Site]] = defaultdict(list)
    for site in sites:
        together[" ".join(site.schedule.split()), bool(site.browser)].append(site)
    found = []
    for (schedule, browser), members in together.items():
        parts: dict[int, list[str]] = defaultdict(list)
        count = -(-len(members) // sites_a_group)
        for site in members:
            parts[xxhash.xxh64_intdigest(site.name.encode()) % count].append(site.name)
        for number, names in parts.items():
            name = _name(schedule) + ("-browser" if browser else "") + (f"-{number + 1}" if count > 1 else "")
            found.append(Group(name, schedule, browser, tuple(sorted(names))))
    return sorted(found, key=lambda group: group.name)


def _name(schedule: str) -> str:
    if every := _EVERY.fullmatch(schedule):
        return f"crawl-{int(every[1]):02}m"
    return f"crawl-{xxhash.xxh32_hexdigest(schedule.encode())}"


def shortest_pause(schedule: str) -> timedelta:
    """The shortest time between two of the next 50 runs."""
    from croniter import croniter

    runs = croniter(schedule, datetime(2024, 1, 1, tzinfo=UTC), ret_type=datetime)
    times: list[datetime] = [runs.get_next() for _ in range(50)]
    return min(later - earlier for earlier, later in pairwise(times))


def cronjob(group: Group) -> dict[str, Any]:
    """What is a group's own of its CronJob; pod.yaml has the rest."""
    # A start that was missed (no node, the controller away) is made up for during half of the pause: later, the next is near. The
    # controller looks every ten seconds; less than that would miss runs.
    deadline = min(3600, max(60, int(shortest_pause(group.schedule).total_seconds() / 2)))
    labels = {"app.kubernetes.io/component": "crawl", "yuqing/browser": str(group.browser).lower()}
    container = {"name": "crawl", "args": ["crawl", "--json", "--keep-going", *group.sites]}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": group.name, "labels": labels},
        "spec": {
            "schedule": group.schedule,
            "timeZone": TIME_ZONE,
            "startingDeadlineSeconds": deadline,
            "jobTemplate": {"spec": {"template": {"spec": {"containers": [container]}}}},
        },
    }


def render(sites: Sequence[Site], sites_a_group: int) -> str:
    """The CronJobs of the sites as YAML documents, the same for the same sites."""
    jobs = [cronjob(group) for group in groups(sites, sites_a_group)]
    return _HEADER + yaml.safe_dump_all(jobs, sort_keys=False, allow_unicode=True, width=120)

"""`yuqing crawl`."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from importlib.resources import files
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from yuqing import telemetry
from yuqing.errors import YuqingError
from yuqing.objects import ObjectStore
from yuqing.settings import Settings, get_settings
from yuqing.site_files import load_sites, sort_site_files, together
from yuqing.sites import Site

if TYPE_CHECKING:
    from rich.console import Console

    from crawler.report import CrawlReport

app = typer.Typer()
_TABLE_WIDTH = 110


class UnknownSite(YuqingError):
    """A site was asked for that no file defines."""


def known_sites(settings: Settings) -> dict[str, Site]:
    """The sites of crawler.sites_folders, or those that are shipped when it is empty. Raises SiteError."""
    return load_sites(sites_folders(settings))


def sites_folders(settings: Settings) -> Sequence[Path]:
    """crawler.sites_folders, or that of the shipped sites when it is empty."""
    return settings.crawler.sites_folders or (Path(str(files("crawler"))) / "sites",)


def choose(names: Sequence[str], every: bool, sites: dict[str, Site]) -> list[Site]:
    """The sites to crawl. Raises UnknownSite."""
    if every:
        return list(sites.values())
    if not names:
        raise UnknownSite("no site was named", cure=f"name one or more of {', '.join(sites)}, or give --all")
    for name in names:
        if name not in sites:
            raise UnknownSite(f"there is no site {name!r}", cure=f"the sites are {', '.join(sites)}")
    return [sites[name] for name in dict.fromkeys(names)]


@app.command("crawl")
def crawl_command(
    names: Annotated[list[str] | None, typer.Argument(metavar="[SITE]...", help="Sites by name.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All sites.")] = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Leave out a named site that cannot be crawled here, as --all does.")
    ] = False,
    max_pages: Annotated[int | None, typer.Option(min=0, help="At most so many new articles a site.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Totals as one JSON object on standard output.")] = False,
) -> None:
    """Bring new articles and recordings of the sites to S3; what is known is not fetched again.

    Pages that fail are listed and tried again by the next crawl. With --all or --keep-going a site that cannot be crawled here is
    left out: its file is wrong, or Chromium or a variable that it names is missing. The exit status is 1 when a site was left
    out or nothing of it could be read.
    """
    settings = get_settings()
    found, broken = sort_site_files(sites_folders(settings))
    names, leave_out = names or [], every or keep_going
    wanted = [name for name in names if not (keep_going and name in broken)]
    missing = not found if every else any(name not in found for name in names)
    hopeless = bool(names) and not wanted if keep_going and not every else missing
    if broken and hopeless:
        raise together(broken.values())
    sites = choose(wanted, every, {name: file.site for name, file in found.items()})
    telemetry.configure(settings.telemetry, stage="crawler")
    store = ObjectStore.from_settings(settings)
    from crawler.process import crawl  # Scrapy takes half a second to load
    from crawler.report import STOPPED

    with telemetry.progress() as progress:
        task = progress.add_task("crawling", total=None)

        def watch(reports: Sequence[CrawlReport]) -> None:
            pages, new = sum(report.pages for report in reports), sum(report.collected for report in reports)
            progress.update(task, description=f"crawling {len(sites)} sites: {new} new articles", completed=pages)

        unreadable = [
            (name_of_report(stem), problem)
            for stem, problem in broken.items()
            if every or (keep_going and stem in names)
        ]
        reports = crawl(
            sites, store, settings, max_pages=max_pages, watch=watch, leave_out=leave_out, broken=unreadable
        )
    if as_json:
        typer.echo(json.dumps(totals(reports), ensure_ascii=False))
    else:
        _print_table(reports)
    status = int(any(report.failed for report in reports))
    if any(report.reason == STOPPED for report in reports):
        # Everything is written. Names that are being looked up, or a hung browser, would hold the process up: Python
        # waits for its threads.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    raise typer.Exit(status)


def name_of_report(stem: str) -> str:
    """A site's name for the report of a file that cannot be read: the file's own, in the letters that names have."""
    return re.sub(r"[^a-z0-9_-]+", "-", stem.lower()).strip("-_") or "unnamed"


def totals(reports: Sequence[CrawlReport]) -> dict[str, Any]:
    """What --json prints: crawled (new article pages on S3), fetched_js (those of them that Chromium loaded), ..."""
    return {
        "found": sum(report.found for report in reports),
        "crawled": sum(report.new_articles for report in reports),
        "fetched_js": sum(report.new_via_browser for report in reports),
        "pages": sum(report.pages for report in reports),
        "seen_skipped": sum(report.seen_skipped for report in reports),
        "duplicates": sum(report.duplicates for report in reports),
        "gone": sum(report.gone for report in reports),
        "media": sum(report.media for report in reports),
        "quarantined": sum(report.quarantined for report in reports),
        "errors": sum(report.error_count for report in reports),
        "flags": [{"site": report.site, **flag} for report in reports for flag in report.flags],
        "sites": [report.as_json() for report in reports],
    }


def wide_console() -> Console:
    """Where tables are printed: a narrow terminal, or none, wraps whole lines, which is easier to read than cut columns."""
    from rich.console import Console

    console = Console()
    console.width = max(console.width, _TABLE_WIDTH)
    return console


def _print_table(reports: Sequence[CrawlReport]) -> None:
    from rich.table import Table

    table = Table(title="crawled", box=None)
    table.add_column("site", no_wrap=True)
    for column in ("found", "new", "known", "pages", "browser", "gone", "media", "errors", "seconds"):
        table.add_column(column, justify="right")
    for report in reports:
        counts = (
            report.found,
            report.new_articles,
            report.seen_skipped,
            report.pages,
            report.via_browser,
            report.gone,
            report.media,
            report.error_count,
            f"{report.seconds or 0:.0f}",
        )
        table.add_row(report.site, *map(str, counts))
    console = wide_console()
    console.print(table)
    for report in reports:
        for flag in report.flags:
            console.print(f"{report.site}: {flag['message']}", markup=False, soft_wrap=True, style="yellow")
        for error in filter(itemgetter("url"), report.errors):  # those without one are the run's, and flags
            console.print(f"{report.site}: {error['url']}: {error['reason']}", markup=False, soft_wrap=True)

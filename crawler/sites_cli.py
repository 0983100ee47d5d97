"""`yuqing sites`: list, check, new."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crawler.cli import UnknownSite, sites_folders, wide_console
from yuqing import telemetry, watchlist
from yuqing.errors import NotConfigured
from yuqing.objects import ObjectStore, ObjectStoreError
from yuqing.settings import Settings, get_settings
from yuqing.site_files import SiteFile, load_site, read_site_files, set_verified
from yuqing.sites import Site

if TYPE_CHECKING:
    from crawler.site_report import SiteReport

app = typer.Typer(help="Sites: list, check their rules, draft new ones.", no_args_is_help=True)
_MARKS = {"ok": "[green]ok[/]", "warn": "[yellow]warn[/]", "fail": "[red]fail[/]"}


@app.command("list")
def list_command(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array on standard output.")] = False,
) -> None:
    """The sites that `yuqing crawl --all` would crawl; complains about every mistake in every file."""
    sites = [file.site for file in read_site_files(sites_folders(get_settings())).values()]
    if as_json:
        typer.echo(json.dumps([_row(site) for site in sites], ensure_ascii=False))
        return
    from rich.table import Table

    table = Table(box=None)
    for column in ("name", "title", "type", "weight", "sources", "schedule", "verified"):
        table.add_column(column, no_wrap=True, justify="right" if column == "weight" else "left")
    for site in sites:
        row = _row(site)
        sources = ", ".join(f"{count} {kind}" for kind, count in row["sources"].items())
        verified = row["verified"] or "never"
        table.add_row(site.name, site.title, site.media_type, f"{site.weight:g}", sources, row["schedule"], verified)
    wide_console().print(table)


def _row(site: Site) -> dict[str, Any]:
    kinds = ("start_urls", "lists", "feeds", "sitemaps", "search")
    return {
        "name": site.name,
        "title": site.title,
        "media_type": site.media_type,
        "weight": site.weight,
        "sources": {kind: len(getattr(site, kind)) for kind in kinds if getattr(site, kind)},
        "schedule": site.schedule,
        "verified": site.verified.isoformat() if site.verified else None,
    }


@app.command("check")
def check_command(
    name: Annotated[str, typer.Argument(metavar="SITE", help="A site's name, or the path of a site's file.")],
    pages: Annotated[int, typer.Option(min=1, help="Articles to read, at least one of each source.")] = 5,
    searched: Annotated[
        str | None,
        typer.Option("--name", help="What to ask the site's search for; default: the watchlist's first name."),
    ] = None,
    set_date: Annotated[
        bool, typer.Option("--set-date", help="Write `verified: <today>` into the file when no rule fails.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Try every rule of a site on the site itself, and say of each what it found. Nothing is stored.

    Exit status 1 when a rule fails.
    """
    settings = get_settings()
    file = _find(name, settings)
    _quiet(settings)
    if file.site.search and searched is None:
        searched = _watched_name(settings)
    from crawler.canary import send  # Scrapy takes half a second to load
    from crawler.site_check import judge

    with telemetry.progress() as progress:
        progress.add_task(f"visiting {file.site.title}", total=None)
        canary = send(file.site, settings, pages=pages, name=searched)
    report = judge(file.site, canary)
    if set_date and report.verdict != "fail":
        set_verified(file.path, date.today())
    if as_json:
        typer.echo(json.dumps(report.as_json(), ensure_ascii=False))
    else:
        _print(report)
        if set_date and report.verdict != "fail":
            typer.echo(f"{file.path}: verified: {date.today()}")
    if report.verdict == "fail":
        raise typer.Exit(1)


@app.command("new")
def new_command(
    url: Annotated[str, typer.Argument(metavar="URL", help="The site's front page, or a channel that lists articles.")],
    name: Annotated[str | None, typer.Option(help="The site's name; default: made from the host.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="Where to write the draft; - is standard output. Default: <name>.yaml.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that exists.")] = False,
    browser: Annotated[
        bool, typer.Option("--browser", help="Load pages in Chromium, as for a site that JavaScript makes.")
    ] = False,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="The site may be at a private or loopback address.")
    ] = False,
    delay: Annotated[float, typer.Option(min=0, help="Seconds between two requests.")] = 1.0,
) -> None:
    """Draft a site's file: feeds, sitemaps, lists, pagination, article patterns, search and fields, each with its reason.

    Asks the site some forty pages, obeying robots.txt. Nothing is stored but the draft.
    """
    address = url if "://" in url else f"https://{url}"
    from crawler.draft.fields import site_name  # Scrapy takes half a second to load
    from crawler.draft.survey import DraftError, survey
    from crawler.draft.write import advice, write_draft

    try:
        Site(name=name or site_name(address), title="a", start_urls=(address,), articles=("http",))
    except ValueError as problem:
        if name and "name" in str(problem):
            raise DraftError(f"{name!r} is no name", cure="take lower-case letters, digits, - and _") from None
        raise DraftError(f"{url!r} is no address", cure="write it as https://www.example.cn/") from None
    to_terminal = output == Path("-")
    path = output if output and not to_terminal else Path(f"{name or site_name(address)}.yaml")
    if path.exists() and not force and not to_terminal:
        raise DraftError(f"{path} exists", cure="give another --output, or --force to overwrite it")
    if not path.parent.is_dir():
        raise DraftError(f"the folder {path.parent} does not exist", cure="make it, or give another --output")
    settings = get_settings()
    _quiet(settings)
    with telemetry.progress() as progress:
        progress.add_task(f"surveying {address}", total=None)
        found = survey(address, settings, browser=browser, allow_private=allow_private, delay=delay)
    text = write_draft(found, name=name, allow_private=allow_private, path=path)
    if to_terminal:
        typer.echo(text, nl=False)
    else:
        path.write_text(text, encoding="utf-8")
        typer.echo(f"{path} is written. Look at:")
        for line in advice(found):
            typer.echo(f"  - {line}")
        typer.echo(f"then: yuqing sites check {path if '/' in str(path) else f'./{path}'}")


def _quiet(settings: Settings) -> None:
    """Logs of problems alone: what a crawl says of itself is no answer here."""
    telemetry.configure(settings.telemetry.model_copy(update={"level": "warning"}), stage="crawler")


def _find(name: str, settings: Settings) -> SiteFile:
    """The site of that name, or that of the file; other files may be broken in the latter case. Raises SiteError."""
    if name.endswith((".yaml", ".yml")) or "/" in name:
        path = Path(name)
        return SiteFile(load_site(path), path)
    files = read_site_files(sites_folders(settings))
    if name not in files:
        raise UnknownSite(f"there is no site {name!r}", cure=f"the sites are {', '.join(files)}; a file needs its path")
    return files[name]


def _watched_name(settings: Settings) -> str | None:
    """The first name of the watchlist; None when there is none, or no S3 to read it from."""
    try:
        companies = watchlist.load(ObjectStore.from_settings(settings))
    except (NotConfigured, ObjectStoreError):
        return None
    return companies[0].name if companies else None


def _print(report: SiteReport) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    sources = Table("source", "status", "links", "articles", box=None)
    sources.add_column("address", overflow="fold")
    for source in report.sources:
        status = str(source.status) if source.status else "-"
        sources.add_row(source.rule, status, str(source.links), str(source.articles), escape(source.url))
    console.print(sources)
    for article in report.articles:
        published = f"{article.published_at:%Y-%m-%d %H:%M}" if article.published_at else "no time"
        said = article.problem or (
            f"{article.title or 'no title'} | {article.author or 'no author'} | {published}"
            f" | {article.characters} characters, {article.encoding}, {article.media} recordings"
            + (", in Chromium" if article.via_browser else "")
            + (f" | canonical: {article.canonical}" if article.canonical != article.url else "")
        )
        console.print(f"{escape(article.url)}\n    {escape(said)}", soft_wrap=True, highlight=False)
    console.print()
    for finding in report.findings:
        console.print(
            f"{_MARKS[finding.verdict]:4} {finding.rule}: {escape(finding.says)}", soft_wrap=True, highlight=False
        )
        if finding.cure and finding.verdict != "ok":
            console.print(f"     -> {escape(finding.cure)}", soft_wrap=True, highlight=False)
    counts = Counter(finding.verdict for finding in report.findings)
    console.print(f"{report.site}: " + ", ".join(f"{counts[verdict]} {verdict}" for verdict in ("ok", "warn", "fail")))

"""`yuqing seen`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from crawler.canonical import site_address, url_hash
from crawler.cli import UnknownSite, choose, known_sites, wide_console
from yuqing import telemetry
from yuqing.cli import report
from yuqing.errors import YuqingError
from yuqing.objects import ObjectStore, ObjectStoreAway
from yuqing.settings import Settings, get_settings
from yuqing.sites import Site

app = typer.Typer(no_args_is_help=True, help="Which addresses were crawled, site by site.")

_Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


class NoAddress(YuqingError):
    """What was given is no http(s) address."""


@app.callback()
def _group() -> None:
    """Which addresses were crawled, site by site."""


def _begin() -> tuple[Settings, ObjectStore, dict[str, Site]]:
    settings = get_settings()
    telemetry.configure(settings.telemetry, stage="crawler")
    store = ObjectStore.from_settings(settings)
    sites = known_sites(settings)
    return settings, store, sites


@app.command()
def compact(
    names: Annotated[list[str] | None, typer.Argument(metavar="[SITE]...", help="Sites by name.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All sites.")] = False,
    as_json: _Json = False,
) -> None:
    """Merge the older segments of the sites' sets, so that crawls begin faster; safe beside crawls and after a kill."""
    settings, store, known = _begin()
    sites = choose(names or [], every, known)
    store.ensure_bucket()
    from crawler.seen.compaction import compact as run

    done, failed = [], []
    with telemetry.progress() as progress:
        for site in progress.track(sites, description="compacting"):
            try:
                done.append(run(store, site, grace_hours=settings.crawler.seen_grace_hours))
            except ObjectStoreAway:
                raise
            except YuqingError as problem:  # one site's damage does not keep the others from it
                failed.append(problem)
    rows = [asdict(compaction) for compaction in done]
    if as_json:
        typer.echo(json.dumps({"merged": sum(one.merged for one in done), "sites": rows}))
    else:
        _print_table("merged", rows)
    for failure in failed:
        report(failure)
    if failed:
        raise typer.Exit(1)


@app.command("import")
def import_command(
    site: Annotated[str, typer.Argument(metavar="SITE")],
    file: Annotated[Path, typer.Argument(help="One JSON list of URLs, or one object whose keys are URLs.")],
    as_json: _Json = False,
) -> None:
    """Settle addresses that another crawler has fetched; entries that are no addresses are counted and named."""
    _, store, known = _begin()
    (chosen,) = choose([site], False, known)
    store.ensure_bucket()
    from crawler.seen.old_form import import_addresses

    done = import_addresses(store, chosen, file)
    if as_json:
        typer.echo(json.dumps(asdict(done), ensure_ascii=False))
    else:
        typer.echo(f"{site}: {done.entries} entries: {done.new} new, {done.known} known already, {done.bad} bad")
        if done.articles < done.entries - done.bad:
            other = done.entries - done.bad - done.articles
            typer.echo(f"{other} of the addresses are no articles by the site's patterns; no crawl will ask for them")
    for place, reason in done.first_bad:
        typer.echo(f"{file}: entry {place}: {reason}", err=True)
    if done.bad > len(done.first_bad):
        typer.echo(f"{file}: and {done.bad - len(done.first_bad)} more", err=True)
    if done.bad:
        raise typer.Exit(1)


@app.command()
def stats(
    site: Annotated[
        str | None, typer.Argument(metavar="[SITE]", help="One site; default: all that have a set.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """How many addresses each site has settled, in how many segments, since when."""
    _, store, known = _begin()
    store.ensure_bucket()
    stored = store.folders("seen/")
    if site is not None and site not in known and site not in stored:
        raise UnknownSite(f"there is no site {site!r}", cure=f"the sites are {', '.join(sorted({*known, *stored}))}")
    from crawler.seen.inspection import measure

    rows = [_plain(asdict(measure(store, name))) for name in ([site] if site else stored)]
    if as_json:
        typer.echo(json.dumps({"addresses": sum(row["addresses"] for row in rows), "sites": rows}))
    else:
        _print_table("settled addresses", rows)


@app.command()
def contains(
    site: Annotated[str, typer.Argument(metavar="SITE")],
    url: Annotated[str, typer.Argument(metavar="URL")],
    as_json: _Json = False,
) -> None:
    """Whether an address is settled, and since when; the exit status is 1 when it is not."""
    _, store, known = _begin()
    (chosen,) = choose([site], False, known)
    try:
        canonical = site_address(chosen, url)
    except ValueError as problem:
        raise NoAddress(f"{url!r} is no address: {problem}", cure="give it whole: https://www.…") from problem
    store.ensure_bucket()
    from crawler.seen.inspection import find
    from crawler.seen.loading import load

    hash_ = url_hash(canonical)
    sighting = find(store, site, hash_)
    answer = {
        "site": site,
        "canonical_url": canonical,
        "hash": f"{hash_:016x}",
        "article": chosen.is_article(canonical),
        "settled": sighting is not None,
        "due": sighting is not None and load(store, chosen).is_due(hash_),
        "first": None,
        "last": None,
        "exact": None,
        "segments": [],
        **(_plain(asdict(sighting)) if sighting else {}),
    }
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
    else:
        typer.echo(f"{canonical}\nhash {answer['hash']}")
        typer.echo(_in_words(answer))
    if sighting is None:
        raise typer.Exit(1)


def _in_words(answer: Mapping[str, Any]) -> str:
    if not answer["settled"]:
        wanted = "a crawl that finds it fetches it" if answer["article"] else "and no article by the site's patterns"
        return f"not settled: {wanted}"
    if answer["exact"]:
        when = f"first {answer['first']}, last {answer['last']}"
    else:
        when = f"between {answer['first']} and {answer['last']}"
    due = "; due for a revisit" if answer["due"] else ""
    return "\n".join([f"settled {when}{due}", *(f"in {key}" for key in answer["segments"])])


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """With times as RFC 3339."""
    return {
        name: value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
        for name, value in row.items()
    }


def _print_table(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    from rich.table import Table

    table = Table(title=title, box=None)
    for column in rows[0] if rows else ():
        table.add_column(column.replace("_", " "), justify="left" if column == "site" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    wide_console().print(table)

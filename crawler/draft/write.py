"""A survey as the text of a site's file, with the reason beside each guess."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from crawler.draft.fields import find_fields, media_type, site_name, site_title
from crawler.draft.sources import FurtherPages
from crawler.draft.survey import Survey
from yuqing.contracts import now
from yuqing.site_files import parse_site

_PAGES = 5  # of a list that has several: enough for a first crawl; every ten minutes one or two are
_STALE_DAYS = 30
_PLAIN = re.compile(r"[\w./:@%+~\u4e00-\u9fff][\w./:@%+~=?&,;$*()\u4e00-\u9fff·-]*")
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "~"})


def write_draft(survey: Survey, *, name: str | None, allow_private: bool, path: Path) -> str:
    """The text of the file; it is a site's file that can be read. Raises SiteError for a name that is none."""
    text = "\n".join(_lines(survey, name, allow_private)) + "\n"
    parse_site(text, path)
    return text


def advice(survey: Survey) -> list[str]:
    """What a person should look at."""
    said = [*survey.notes]
    if len(survey.articles) > 1:
        said.append(f"`articles`: {len(survey.articles)} patterns; remove those of pages that are none")
    else:
        said.append("`articles`: one pattern; look for articles of the site that it does not match")
    if not survey.channels:
        said.append("`lists`: no channels were found; add those that matter")
    if stale := [source.url for source in (*survey.feeds, *survey.sitemaps) if _stale(source.newest)]:
        said.append(f"{', '.join(stale)}: nothing new for {_STALE_DAYS} days; commented out")
    if survey.search and not survey.search_works:
        said.append("`search`: a form was found, but its answer has no articles or may not be asked for; commented out")
    found = find_fields(survey.samples)
    if missing := [name for name in ("title", "author", "published_at") if name not in found]:
        said.append(f"`fields`: nothing was found for {', '.join(missing)}; the cleaning looks for them by itself")
    said.append("`title`, `media_type`, `weight` and `schedule` are guesses")
    return said


def _lines(survey: Survey, name: str | None, allow_private: bool) -> Iterator[str]:
    home = survey.home
    assert home is not None
    yield f"# A draft from {home.url} of {now():%Y-%m-%d}. Read the comments, then: yuqing sites check <this file>"
    yield f"name: {_scalar(name or site_name(home.url))}"
    yield f"title: {_scalar(site_title(home))}      # from the page's title"
    yield f"media_type: {media_type(home)}      # from the words of its title and description"
    yield "weight: 1.0"
    yield "verified: null"
    yield "schedule: '*/15 * * * *'"
    yield ""
    yield from _start(survey)
    yield from _feeds("feeds", survey)
    yield from _feeds("sitemaps", survey)
    yield from _search(survey)
    yield ""
    yield "articles:"
    for group in survey.articles:
        yield f"  # {group.why}"
        yield f"  - {_quoted(group.pattern)}"
    yield from _mobile(survey)
    if home.via_browser:
        host = re.escape(urlsplit(home.url).netloc).replace(r"\-", "-")
        yield ""
        yield "# The page is empty without JavaScript. A selector to wait for (wait_for) is faster than a quiet network."
        yield "browser:"
        yield f"  - urls: {_quoted(f'https?://{host}/')}"
        yield "    network_quiet: true"
    yield ""
    yield f"# charset: not set; the pages were read as {home.encoding}"
    yield from _fields(survey)
    yield ""
    local = allow_private and re.fullmatch(r"[\d.]+|localhost|\[.*\]", urlsplit(home.url).hostname or "")
    yield f"delay: {'0.2' if local else '2.0'}"
    yield "concurrency: 1"
    if allow_private:
        yield "allow_private_addresses: true      # as --allow-private asked for"


def _start(survey: Survey) -> Iterator[str]:
    home = survey.home
    assert home is not None
    lists: list[tuple[str, str, int, FurtherPages | None]] = []
    if survey.home_further:
        lists.append((home.url, "", survey.home_articles, survey.home_further))
    if not lists and (survey.home_articles or not (survey.channels or survey.feeds)):
        yield "start_urls:"
        yield f"  - {_scalar(home.url)}      # {survey.home_articles} links to articles"
    lists += [
        (channel.link.written, channel.link.text, channel.articles, channel.further) for channel in survey.channels
    ]
    if lists:
        yield "lists:"
    for url, text, count, further in lists:
        yield f"  - url: {_scalar(url)}      # {f'{text}: ' if text else ''}{count} links to articles"
        yield from _pagination(further)


def _pagination(further: FurtherPages | None) -> Iterator[str]:
    if further is None:
        yield "    # no link to a next page was found"
        return
    if further.next:
        yield f"    next: {_quoted(further.next)}"
    else:
        yield f"    page_urls: {_scalar(further.page_urls or '')}      # from the link to the second page"
    yield f"    pages: {_PAGES}"


def _feeds(field: str, survey: Survey) -> Iterator[str]:
    sources = survey.feeds if field == "feeds" else survey.sitemaps
    fresh = [source for source in sources if not _stale(source.newest)]
    if fresh:
        yield f"{field}:"
    for source in fresh:
        newest = f", the newest of {source.newest:%Y-%m-%d}" if source.newest else ""
        yield f"  - {_scalar(source.url)}      # {source.entries} entries{newest}"
    stale = [source for source in sources if source not in fresh]
    if stale:
        yield f"# {field} with nothing new for {_STALE_DAYS} days:"
    for source in stale:
        yield f"#  - {source.url}      # {source.entries} entries, the newest of {source.newest:%Y-%m-%d}"


def _search(survey: Survey) -> Iterator[str]:
    if survey.search is None:
        return
    off = "" if survey.search_works else "# "
    why = "it found articles" if survey.search_works else "its answer has no articles, or robots.txt forbids it"
    yield f"{off}search:      # from the page's form; {why}"
    yield f"{off}  - url: {_scalar(survey.search.url)}"
    if survey.search.encoding != "utf-8":
        yield f"{off}    encoding: {survey.search.encoding}"


def _mobile(survey: Survey) -> Iterator[str]:
    if survey.mobile and survey.home:
        match, host = re.escape(survey.mobile).replace(r"\-", "-"), urlsplit(survey.home.url).netloc
        yield "rewrite:      # pages name their mobile form, which differs in the host alone"
        yield f"  - match: {_quoted(f'https?://{match}/(.*)')}"
        yield f"    to: {_quoted(f'{urlsplit(survey.home.url).scheme}://{host}/' + chr(92) + '1')}"


def _fields(survey: Survey) -> Iterator[str]:
    found = find_fields(survey.samples)
    if found:
        yield f"fields:      # found on all of {len(survey.samples)} articles"
    for name, selector in found.items():
        yield f"  {name}: {_quoted(selector)}"


def _stale(newest: datetime | None) -> bool:
    return newest is not None and now() - newest > timedelta(days=_STALE_DAYS)


def _scalar(text: str) -> str:
    """As YAML wants it: plain where that is safe."""
    plain = (
        _PLAIN.fullmatch(text) and ": " not in text and text.lower() not in _WORDS and not re.fullmatch(r"[\d.]+", text)
    )
    return text if plain else _quoted(text)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

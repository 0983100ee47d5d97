"""What a canary's crawl says of a site's rules: one verdict a rule, with the reason and the cure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from parsel import Selector

from crawler.canary import ArticleVisit, Canary, Visit, rules
from crawler.canonical import site_address
from crawler.canonical_check import canonical_findings
from crawler.feeds import BrokenFeed, Entry, parse_feed, parse_sitemap
from crawler.middlewares.robots import FORBIDDEN
from crawler.shapes import frequent_shapes
from crawler.site_report import ArticleSeen, Finding, SiteReport, SourceSeen, Verdict
from crawler.spiders.hints import find_value, hints
from crawler.spiders.listing import BrokenList, base_address, json_entries, linked_addresses
from crawler.text_length import text_length
from yuqing.contracts import now
from yuqing.sites import FieldSelectors, ListPage, Search, Site

_STALE_FEED_DAYS = 30  # a medium that has published nothing for so long has left its feed behind
_SHORT_CHARACTERS = 100  # of text outside links: below it a page is a caption, or empty without JavaScript
_LOST_SHARE = 0.001  # replacement characters; a page read in a wrong charset has dozens in a hundred
_FEW_MATCHES = 0.2  # share of the links of a `links` selector below which it takes in more than the list
_SHOWN = 80  # characters of a finding
_NOTHING = Entry("")  # a listing that says nothing of its article


def judge(site: Site, canary: Canary) -> SiteReport:
    """The verdicts on every rule of the site, from what a canary brought."""
    articles = [_article(site, visit) for visit in canary.articles]
    findings = [
        *_sources(site, canary),
        *_patterns(site, canary),
        *_pages(articles, canary),
        *canonical_findings(site, canary.canonicals),
        *_fields(site, canary.articles),
        *_browser(site, canary),
    ]
    sources = [
        SourceSeen(
            visit.rule,
            visit.url,
            visit.status,
            visit.problem,
            len(set(visit.links)),
            len(set(visit.articles)),
            dict(Counter(urlsplit(url).netloc for url in set(visit.links)).most_common(5)),
        )
        for visit in canary.visits
    ]
    return SiteReport(site.name, sources, articles, findings)


def _article(site: Site, visit: ArticleVisit) -> ArticleSeen:
    record = visit.record
    seen = {} if not record else {name: record[name] for name in ("title", "author", "published_at", "encoding")}
    address = site_address(site, record.get("url", visit.url))
    return ArticleSeen(
        visit.url,
        visit.rule,
        next((pattern for pattern in site.articles if re.match(pattern, address)), None),
        visit.status,
        visit.problem,
        canonical=record.get("canonical_url"),
        characters=text_length(record["body"]) if record.get("body") else 0,
        media=visit.media,
        via_browser=visit.via_browser,
        **seen,
    )


def _sources(site: Site, canary: Canary) -> Iterator[Finding]:
    for rule, url in rules(site).items():
        visits = [visit for visit in canary.visits if visit.rule == rule]
        visits.sort(key=lambda visit: visit.url != url)  # the first page first, whichever came first
        if visits:
            yield _source(site, rule, visits)
        elif rule.startswith("search."):
            yield Finding(rule, "warn", "was not asked: there is no name to search for", "give one with --name")
        else:
            yield Finding(rule, "warn", f"was not asked: another rule has the address {url}", "remove one of the two")


def _source(site: Site, rule: str, visits: Sequence[Visit]) -> Finding:
    first, group = visits[0], rule.partition(".")[0]
    if first.problem:
        cure = {
            "HTTP 404": "the address has changed: look for it on the site, or remove the rule",
            FORBIDDEN: "the site does not want it crawled: remove the rule",
        }.get(first.problem, "open the address in a browser; if it works there, see `headers`, `browser` and `proxies`")
        return Finding(rule, "fail", f"{first.url}: {first.problem}", cure)
    links, articles = _distinct(visits)
    if not links:
        said, cure = _no_links(site, rule, first)
        if group == "search":  # not every name is in every paper
            return Finding(rule, "warn", said, f"ask for what the site surely has, with --name; or {cure}")
        return Finding(rule, "fail", said, cure)
    if not articles:
        shapes = "; ".join(f"{shape} ({count})" for shape, count in frequent_shapes(links))
        return Finding(
            rule,
            "fail",
            f"0 of {len(links)} links match `articles`; the most frequent shapes of the links are {shapes}",
            "correct `articles`, or `rewrite` these addresses to those that it describes",
        )
    said = f"{len(articles)} of {len(links)} links are articles"
    if group in ("feeds", "sitemaps") and (newest := _newest(group, visits)):
        age = now() - newest
        if age > timedelta(days=_STALE_FEED_DAYS if group == "feeds" else site.sitemap_days):
            return Finding(
                rule, "warn", f"{said}; the newest is of {newest:%Y-%m-%d}", "it may be left behind: look for another"
            )
        said += f", the newest of {newest:%Y-%m-%d %H:%M}"
    if group == "lists":
        listed = site.lists[int(rule.partition(".")[2])]
        if listed.pages > 1 and (problem := _pagination(listed.next, visits)):
            return Finding(rule, "warn", f"{said}; {problem}", "correct `next` or `page_urls`, or set `pages` to 1")
        if listed.links and len(articles) < _FEW_MATCHES * len(links):
            return Finding(
                rule,
                "warn",
                f"{said}: `links` takes in more than the list",
                "make the selector narrower, or leave it out",
            )
    return Finding(rule, "ok", said)


def _distinct(visits: Sequence[Visit]) -> tuple[set[str], set[str]]:
    return {url for visit in visits for url in visit.links}, {url for visit in visits for url in visit.articles}


def _no_links(site: Site, rule: str, visit: Visit) -> tuple[str, str]:
    """Why a source has no links, and the cure."""
    group, _, number = rule.partition(".")
    if group in ("feeds", "sitemaps"):
        try:
            if group == "feeds":
                next(iter(parse_feed(visit.body, visit.content_type)), None)
                return "has no entries", "it may be empty now; look at it in a browser"
            sitemap = parse_sitemap(visit.body, visit.content_type)
            if not (sitemap.entries or sitemap.children):
                return "has no entries", "it may be empty now; look at it in a browser"
            return (
                f"all of its {len(sitemap.entries) or len(sitemap.children)} entries last changed more than"
                f" {site.sitemap_days:g} days ago",
                "the sitemap may be left behind: look for another, or raise `sitemap_days`",
            )
        except BrokenFeed as problem:
            return f"is no {group[:-1]}: {problem}", "open the address in a browser; the feed may have moved"
    source: ListPage | Search | None = None
    if group == "lists":
        source = site.lists[int(number)]
    elif group == "search":
        source = site.search[int(number)]
    if source and source.json_items:
        try:
            list(json_entries(visit.text, visit.url, source.json_items))
            return "the items have no address", "correct `json.url`"
        except BrokenList as problem:
            return str(problem), "look at the answer and correct `json`"
    page = Selector(visit.text, type="html")
    everywhere = linked_addresses([page], base_address(page, visit.url))
    if not everywhere:
        return "the page has no links", "it may need JavaScript: add a `browser` rule for it"
    matching = sum(site.is_article(site_address(site, url)) for url in everywhere)
    selector = source.links if source else None
    return (
        f"the selector {selector} finds no links; the whole page has {len(everywhere)}, of which {matching} are articles",
        "correct `links`, or leave it out",
    )


def _newest(group: str, visits: Sequence[Visit]) -> datetime | None:
    times: list[datetime | None] = []
    for visit in visits:
        try:
            if group == "feeds":
                times += [entry.published_at for entry in parse_feed(visit.body, visit.content_type)]
            else:
                entries = parse_sitemap(visit.body, visit.content_type).entries
                times += [entry.modified or entry.published_at for entry in entries]
        except BrokenFeed:
            continue
    return max((time for time in times if time), default=None)


def _pagination(selector: str | None, visits: Sequence[Visit]) -> str | None:
    """What is wrong with a list's further pages, or None."""
    if len(visits) < 2:
        return (
            f"`next` ({selector}) finds no link to a second page (perhaps there is none)"
            if selector
            else "the second page was not asked for"
        )
    if visits[1].problem:
        return f"the second page {visits[1].url}: {visits[1].problem}"
    if not set(visits[1].articles) - set(visits[0].articles):
        return f"the second page {visits[1].url} shows no article that the first does not"
    return None


def _patterns(site: Site, canary: Canary) -> Iterator[Finding]:
    _, found = _distinct(canary.visits)
    # What a redirect led to counts as well: a pattern may be for the old addresses, or for the new ones.
    reached = {site_address(site, article.record["url"]) for article in canary.articles if article.record}
    for number, pattern in enumerate(site.articles):
        matching = sum(re.match(pattern, url) is not None for url in found | reached)
        rule = f"articles.{number}"
        if matching:
            yield Finding(rule, "ok", f"{matching} addresses match")
        else:
            yield Finding(rule, "warn", f"no address that was found matches {pattern}", "correct it, or remove it")


def _pages(articles: Sequence[ArticleSeen], canary: Canary) -> Iterator[Finding]:
    broken = [article for article in articles if article.problem and article.url not in canary.forbidden]
    read = [article for article in articles if not article.problem]
    forbidden = sum(article.url in canary.forbidden for article in articles)
    if broken or not articles or not read:
        share = f"{len(broken)} of {len(articles)} articles could not be read"
        first = f": {broken[0].url}: {broken[0].problem}" if broken else ""
        if not articles:
            share, cure = "no article was found", "mend the rules above first"
        elif forbidden == len(articles):
            share, cure = "robots.txt forbids all articles that were tried", "the site does not want to be crawled"
        else:
            cure = "open the address in a browser; if it works there, see `headers`, `browser` and `proxies`"
        yield Finding("pages", "warn" if read else "fail", share + first, cure)
    else:
        yield Finding("pages", "ok", f"{len(read)} articles were read")
    short = [article for article in read if article.characters < _SHORT_CHARACTERS]
    if short:
        yield Finding(
            "text",
            "fail" if len(short) == len(read) else "warn",
            f"{len(short)} of {len(read)} articles have fewer than {_SHORT_CHARACTERS} characters outside links: {short[0].url}",
            "they may need JavaScript: add a `browser` rule for them; or they are no articles: `exclude` them",
        )
    elif read:
        middle = sorted(article.characters for article in read)[len(read) // 2]
        yield Finding("text", "ok", f"{middle} characters outside links in the median article")
    lost = [
        visit.url
        for visit in canary.articles
        if (body := visit.record.get("body")) and body.count("\ufffd") > _LOST_SHARE * len(body)
    ]
    encodings = ", ".join(f"{name} ({count})" for name, count in Counter(a.encoding for a in read).most_common())
    if lost:
        yield Finding("charset", "warn", f"{lost[0]} has unreadable characters (read as {encodings})", "set `charset`")
    elif read:
        yield Finding("charset", "ok", encodings)


def _fields(site: Site, visits: Sequence[ArticleVisit]) -> Iterator[Finding]:
    bodies = [visit.record["body"] for visit in visits if visit.record.get("body")]
    for name in FieldSelectors.model_fields:
        selector = getattr(site.fields, name)
        if not selector or not bodies:
            continue
        only = FieldSelectors.model_validate({name: selector})
        # The text stays where it is: the cleaning applies its selector to the page.
        values = [
            (find_value(body, selector) or None) if name == "text" else hints(body, _NOTHING, only)[name]
            for body in bodies
        ]
        found = sum(value is not None for value in values)
        rule, share = f"fields.{name}", f"found in {found} of {len(bodies)} articles"
        if found == len(bodies):
            yield Finding(rule, "ok", f"{share}: {' '.join(str(values[0]).split())[:_SHOWN]}")
            continue
        raw = find_value(bodies[values.index(None)], selector)
        reason = f"{share}; {selector} finds {raw!r}, which is no time" if raw else f"{share} by {selector}"
        yield Finding(rule, "warn" if found else "fail", reason, "correct the selector, or leave the field out")


def _browser(site: Site, canary: Canary) -> Iterator[Finding]:
    asked = [(visit.url, visit.problem) for visit in canary.visits]
    asked += [(article.url, article.problem) for article in canary.articles]
    for number, rule in enumerate(site.browser):
        problems = [problem for url, problem in asked if site.browser_rule(url) is rule]
        failed = [problem for problem in problems if problem and problem != FORBIDDEN]
        name = f"browser.{number}"
        if not problems:
            yield Finding(name, "warn", "no page that was visited matches `urls`", "correct it, or remove the rule")
        elif failed:
            verdict: Verdict = "fail" if len(failed) == len(problems) else "warn"
            yield Finding(
                name, verdict, f"{len(failed)} of {len(problems)} pages failed: {failed[0]}", "correct `wait_for`"
            )
        else:
            yield Finding(name, "ok", f"{len(problems)} pages loaded in Chromium")

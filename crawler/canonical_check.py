"""What `yuqing sites check` says of the articles' rel=canonical: pages that would become one, and names that are not believed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from crawler.canonical import site_address
from crawler.site_report import Finding, Verdict
from crawler.spiders.article import Doubt, believe
from yuqing.sites import Site

_RULE = "canonical"
_MOST = 2  # a page and its print version
_CURES = {
    Doubt.DROPS_IDENTITY: "nothing, if these are different articles; if what is left out is noise, `rewrite` the address",
    Doubt.OTHER_HOST: "nothing, if it is a reprint; if it is the same page (mobile, https), `rewrite` the address",
    Doubt.NO_ARTICLE: "nothing, if it is a channel or the front page; if it is the article, see `articles`",
}


def canonical_findings(site: Site, canonicals: Mapping[str, str | None]) -> Iterator[Finding]:
    """`canonicals` are the addresses that pages declare, by the pages' own; None: none.

    Nothing is said where no page declares one, or the site's file says that they are not to be believed.
    """
    pages: dict[str, set[str]] = {}  # by the canonical address that they are taken for
    doubted: dict[Doubt, list[tuple[str, str]]] = {}
    for url, declared in sorted(canonicals.items()):
        believed = believe(declared, url, site) if declared else None
        if isinstance(believed, Doubt):
            doubted.setdefault(believed, []).append((url, declared or ""))
        elif believed:
            pages.setdefault(believed, set()).add(site_address(site, url))
    if not site.canonical_links or not (pages or doubted):
        return
    shared = {canonical: urls for canonical, urls in pages.items() if len(urls) > 1}
    for canonical, urls in shared.items():
        verdict: Verdict = "fail" if _MOST < len(urls) == len(canonicals) else "warn"
        yield Finding(
            _RULE,
            verdict,
            f"{len(urls)} of {len(canonicals)} articles name {canonical} as their canonical address, so that one of them"
            f" is kept: {', '.join(sorted(urls)[:2])}",
            "look at them: if they are different articles, set `canonical_links: false`; if they are one, `rewrite` can spare"
            " the requests",
        )
    for doubt, found in doubted.items():
        url, declared = found[0]
        yield Finding(
            _RULE,
            "warn",
            f"{len(found)} of {len(canonicals)} articles name a canonical address that is not believed, since {doubt.value}:"
            f" {url} names {declared}",
            _CURES[doubt],
        )
    if not shared and not doubted:
        yield Finding(_RULE, "ok", f"{len(pages)} of {len(canonicals)} articles name one of their own")

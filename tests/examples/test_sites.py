"""The site definitions fit the crawler's schema, and their rules fit the pages."""

import re
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest
from parsel import Selector

from examples.newsroom import write_sites
from examples.newsroom.edition import MediumName, edition
from yuqing.site_files import load_sites
from yuqing.sites import Site

Pages = dict[str, httpx.Response]


@pytest.fixture
def sites(tmp_path: Path, newsroom: dict[str, str]) -> dict[str, Site]:
    write_sites(tmp_path / "sites", newsroom)
    return load_sites([tmp_path / "sites"])


def test_the_same_addresses_give_the_same_files(tmp_path: Path, newsroom: dict[str, str]) -> None:
    first = [path.read_bytes() for path in write_sites(tmp_path, newsroom)]
    assert first == [path.read_bytes() for path in write_sites(tmp_path, newsroom)]
    assert len(first) == 3


def test_every_article_is_recognised_and_nothing_else(
    sites: dict[str, Site], newsroom: dict[str, str], everything: Pages
) -> None:
    assert list(sites) == ["newsroom-finance", "newsroom-portal", "newsroom-tech"]
    for article in edition().articles:
        site = sites[f"newsroom-{article.medium}"]
        assert site.is_article(newsroom[article.medium] + article.path)
        assert bool(site.browser_rule(newsroom[article.medium] + article.path)) == (article.medium == "tech")
    own = {newsroom[article.medium] + article.path for article in edition().articles}
    others = [url for url in everything if url not in own and everything[url].status_code == 200]
    taken = [url for url in others if any(site.is_article(url) for site in sites.values())]
    assert all("/internal/" in url or url.endswith(edition().broken.path) for url in taken)


@pytest.mark.parametrize("medium", ["finance", "portal"])
def test_the_list_selectors_lead_to_the_articles(
    medium: MediumName, sites: dict[str, Site], newsroom: dict[str, str], everything: Pages
) -> None:
    site, found = sites[f"newsroom-{medium}"], set[str]()
    for listing in site.lists:
        url: str | None = listing.url
        pages = 0
        while url:
            page = Selector(everything[url].content.decode("gb18030" if medium == "finance" else "utf-8"))
            links = page.css(listing.links or "a").css("a::attr(href)").getall()
            found |= {urljoin(url, link).partition("?")[0] for link in links}
            following = page.css(listing.next or "").css("::attr(href)").get()
            url, pages = (urljoin(url, following) if following else None), pages + 1
        assert pages <= listing.pages
    expected = {newsroom[medium] + (article.old_path or article.path) for article in edition().of(medium)}
    assert expected <= found


@pytest.mark.parametrize("medium", ["finance", "portal"])
def test_the_field_selectors_find_what_they_name(
    medium: MediumName, sites: dict[str, Site], newsroom: dict[str, str], everything: Pages
) -> None:
    fields = sites[f"newsroom-{medium}"].fields
    article = edition().of(medium)[0]
    content = everything[newsroom[medium] + article.path].content
    page = Selector(content.decode("gb18030" if medium == "finance" else "utf-8"))
    assert page.css(fields.title or "").css("::text").get() == article.title
    assert re.search(r"^2025\D\d\d\D\d\d", page.css(fields.published_at or "").css("::text").get() or "")

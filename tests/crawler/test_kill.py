"""kill -9 at any moment: the next crawl ends with what an undisturbed one would have brought, each page once."""

import random
import time
from collections import Counter

import httpx
import pytest

from examples.newsroom.edition import edition
from examples.newsroom.sites import definitions
from tests.crawler.conftest import Crawl
from yuqing.identity import doc_id

pytestmark = pytest.mark.service


def killed_crawl(crawl: Crawl, newsroom: dict[str, str], seed: int) -> int:
    """Kill a crawl after a random number of requests, let another finish; how many pages the first had saved."""
    control = f"{newsroom['control']}/__requests__"
    moment = random.Random(seed).randint(1, 190)
    httpx.delete(control)
    sites = definitions(newsroom)
    crawl.define(sites["finance"], sites["portal"])
    process = crawl.start("--all", batch_pages="7", batch_seconds="0.5")
    while process.poll() is None and sum(map(sum, map(dict.values, httpx.get(control).json().values()))) < moment:
        time.sleep(0.005)
    process.kill()
    process.communicate()
    saved = len(crawl.documents())

    totals = crawl.run("--all", batch_pages="7")
    documents = crawl.documents()
    found = Counter(doc_id(document.kind, document.canonical_url) for document in documents)
    expected = {
        doc_id("page", newsroom[article.medium] + article.path)
        for article in (*edition().articles, edition().broken)
        if article.medium != "tech"
    }
    assert set(found) == expected
    assert max(found.values()) == 1, "a page was fetched again although its batch was safe"
    assert totals["crawled"] == len(expected) - saved
    media = {reference.s3_key for document in documents for reference in document.media}
    assert {item.key for item in crawl.store.list("media/")} == media
    assert len(media) == 2
    assert crawl.run("--all")["crawled"] == 0
    return saved


@pytest.mark.parametrize("kill", ["first", "second"])
def test_killed_at_random(crawl: Crawl, newsroom: dict[str, str], kill: str) -> None:
    killed_crawl(crawl, newsroom, random.randrange(10**6))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_killed_at_ten_moments(crawl: Crawl, newsroom: dict[str, str], seed: int) -> None:
    killed_crawl(crawl, newsroom, seed)

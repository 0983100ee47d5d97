"""kill -9 at any moment: the next crawl ends with what an undisturbed one would have brought, each page once."""

import random
import time
from collections import Counter

import httpx
import pytest

from crawler.canonical import url_hash
from crawler.seen import unpack
from examples.newsroom.edition import edition
from examples.newsroom.sites import definitions
from tests.crawler.conftest import Answer, Crawl, WebServer
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


def test_killed_while_a_page_waits_for_its_recording(crawl: Crawl, web: WebServer) -> None:
    """Its other names must not settle it: only the page's own batch does."""

    def after(path: str, answer: Answer) -> Answer:
        end = time.monotonic() + 20
        while path not in web.asked and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(0.5)  # for the crawler to read it
        return answer

    paths = ["/a/1", "/a/alias", "/a/redirect", "/a/gone"]
    alias = Answer('<html><head><link rel="canonical" href="/a/1"></head><body><p>稿件</p></body></html>')
    redirect = Answer(status=301, headers={"Location": "/a/1"})
    web.hub(paths)
    web.answers["/a/1"] = Answer('<html><body><p>稿件</p><audio src="/recording.mp3"></audio></body></html>')
    web.answers["/recording.mp3"] = Answer(behave=lambda _: time.sleep(60))
    web.answers["/a/alias"] = lambda: after("/a/1", alias)
    web.answers["/a/redirect"] = lambda: after("/a/alias", redirect)
    web.answers["/a/gone"] = lambda: after("/a/redirect", Answer(status=404))
    crawl.define(web.site())
    process = crawl.start("local", batch_seconds="0.2")
    while process.poll() is None and not list(crawl.store.list("seen/")):
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert crawl.documents() == []
    settled = {int(hash_) for item in crawl.store.list("seen/") for hash_ in unpack(crawl.store.get(item.key))}
    assert settled == {url_hash(f"{web.url}/a/gone")}

    web.answers["/recording.mp3"] = Answer(status=404)
    totals = crawl.run("local")
    assert totals["crawled"] == 1
    assert [document.canonical_url for document in crawl.documents()] == [f"{web.url}/a/1"]
    asked = web.asked.copy()
    crawl.run("local")
    assert all(web.asked[path] == asked[path] for path in paths)

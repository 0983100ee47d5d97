"""Faults of ours and of this computer: what they cost stands in the report, and the next run brings it."""

import gzip
import json

import pytest

from tests.crawler.conftest import Answer, Crawl, WebServer
from tests.crawler.media.conftest import MP3

pytestmark = pytest.mark.service

# The crawl on a computer without room for temporary files, and with a fault on the way of some pages.
PROGRAM = """
import tempfile

import crawler.batches
import crawler.spiders.article
from yuqing.cli import main

tempfile.tempdir = "/nonexistent"
add, hints = crawler.batches.BatchWriter.add, crawler.spiders.article.hints


def faulty(self, record, *arguments, **options):
    if record["url"].endswith("/a/lost"):
        raise OSError(28, "No space left on device")
    add(self, record, *arguments, **options)


def confused(text, *arguments):
    if "/a/unread" in text:
        raise RecursionError("too deep")
    return hints(text, *arguments)


crawler.batches.BatchWriter.add = faulty
crawler.spiders.article.hints = confused
main()
"""


def test_a_fault_loses_no_page(crawl: Crawl, web: WebServer) -> None:
    web.answers["/sound.mp3"] = Answer(MP3.read_bytes())
    web.article("/a/recording", text='<audio src="/sound.mp3"></audio>')
    web.article("/a/lost")
    web.article("/a/unread")
    web.article("/a/good")
    web.hub(["/a/recording", "/a/lost", "/a/unread", "/a/good"])
    crawl.define(web.site())
    crawl.program = ("-c", PROGRAM)
    crawl.run()
    documents = {document.url.rsplit("/", 1)[1]: document for document in crawl.documents()}
    assert set(documents) == {"recording", "good"}
    assert "nonexistent" in (documents["recording"].media[0].error or "")
    (report,) = [json.loads(crawl.store.get(item.key)) for item in crawl.store.list("reports/crawl/local/")]
    reasons = {error["url"].removeprefix(web.url): error["reason"] for error in report["errors"]}
    assert set(reasons) == {"/sound.mp3", "/a/lost", "/a/unread"}
    assert reasons["/a/unread"] == "RecursionError: too deep"
    assert "No space left" in reasons["/a/lost"]
    (kept,) = crawl.store.list("retries/local/")
    failures = [json.loads(line) for line in gzip.decompress(crawl.store.get(kept.key)).splitlines()]
    # The site has done nothing: these are no attempts.
    assert {failure["url"].removeprefix(web.url): failure["attempts"] for failure in failures} == {
        "/sound.mp3": 0,
        "/a/lost": 0,
        "/a/unread": 0,
    }

    web.hub([])
    crawl.program = ("-m", "yuqing")
    crawl.run()
    newest = {document.url.rsplit("/", 1)[1]: document for document in crawl.documents()}
    assert set(newest) == {"recording", "good", "lost", "unread"}
    assert newest["recording"].media[0].error is None
    assert list(crawl.store.list("retries/local/")) == []

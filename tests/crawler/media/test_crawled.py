"""Recordings as `yuqing crawl` brings them, and brings those later that it could not get at once."""

import gzip
import hashlib
import json
import signal
import time
from pathlib import Path

import pytest

from tests.crawler.conftest import Answer, Crawl, WebServer
from tests.crawler.media.conftest import MP3, MP4, Ranged, make_hls
from yuqing.contracts import RawDocument, read_raw_document

pytestmark = pytest.mark.service

SOUND, FILM = MP3.read_bytes(), MP4.read_bytes()


def newest(crawl: Crawl) -> dict[str, RawDocument]:
    """The last record of each page, by the last part of its address."""
    return {document.url.rsplit("/", 1)[1]: document for document in crawl.documents()}


def test_recordings(crawl: Crawl, web: WebServer, tmp_path: Path) -> None:
    page_type = {"Content-Type": "text/html"}
    web.answers["/one.mp3"] = Answer(SOUND, headers={"Content-Type": "application/octet-stream"})
    web.answers["/moved.mp3"] = Answer(status=302, headers={"Location": "/one.mp3?signed=1"})
    web.answers["/one.mp3?signed=1"] = Answer(SOUND)
    web.answers["/film.jpg"] = Answer(FILM, headers=page_type)
    web.answers["/page.mp4"] = Answer("<html>请登录</html>")
    web.answers["/broken.mp4"] = Answer(FILM[:10_000])
    breaking = Ranged(FILM, breaks=[50_000, 50_000])
    web.answers["/breaking.mp4"] = Answer(behave=breaking.answer)
    web.answers["/late.mp3"] = Answer(status=503)
    web.answers["/never.mp3"] = Answer(status=403)
    make_hls(MP4, tmp_path, sound_only=True)
    for path in tmp_path.iterdir():
        web.answers[f"/hls/{path.name}"] = Answer(path.read_bytes())
    master = '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9,CODECS="avc1.4d001f,mp4a.40.2"\n/none.m3u8\n'
    web.answers["/master"] = Answer(master + '#EXT-X-STREAM-INF:BANDWIDTH=64000,CODECS="mp4a.40.2"\nhls/index.m3u8\n')
    live = (tmp_path / "index.m3u8").read_text().replace("#EXT-X-ENDLIST", "").replace("index-", "hls/index-")
    web.answers["/live"] = Answer(live)
    tags = {
        "1": '<audio src="/one.mp3"></audio><video src="/page.mp4"></video>',
        "2": '<audio src="/one.mp3"></audio><audio src="/moved.mp3"></audio><video src="/none.mp4"></video>',
        "3": '<video src="/film.jpg"></video><video src="/broken.mp4"></video><video src="/breaking.mp4"></video>',
        "4": "<script>play({src: '/master', other: '/x.m3u8?'})</script><video src='/master'></video>",
        "5": '<audio src="/live"></audio><audio src="/late.mp3"></audio><audio src="/never.mp3"></audio>',
    }
    for name, text in tags.items():
        web.article(f"/a/{name}", text=text)
    rss = f'<item><link>{web.url}/a/6</link><enclosure url="/one.mp3" type="audio/mpeg"/></item>'
    web.answers["/rss"] = Answer(f"<rss><channel>{rss}</channel></rss>")
    web.article("/a/6", text="播客")
    web.hub([f"/a/{name}" for name in tags])
    crawl.define(web.site(feeds=[f"{web.url}/rss"]))
    quick = {"backoff_base_s": "0.01", "backoff_max_s": "0.01"}
    totals = crawl.run(**quick)
    assert totals["crawled"] == 6
    assert totals["sites"][0]["bytes"] > 2 * len(FILM) + len(SOUND), "recordings count, too"
    pages = newest(crawl)
    sound, film = (hashlib.sha256(data).hexdigest() for data in (SOUND, FILM))

    def errors(name: str) -> list[str | None]:
        return [reference.error for reference in pages[name].media]

    assert [reference.sha256 for reference in pages["1"].media] == [sound, None]
    assert errors("1")[1] == "a page, not a recording"
    assert [reference.sha256 for reference in pages["2"].media] == [sound, sound, None]
    assert errors("2")[2] == "HTTP 404"
    assert [reference.sha256 for reference in pages["3"].media] == [film, None, film]
    assert "broken" in (errors("3")[1] or "")
    assert breaking.asked[1:] == [("bytes=50000-", '"1"'), ("bytes=100000-", '"1"')]
    assert [reference.content_type for reference in pages["4"].media] == ["audio/mp4"]
    assert errors("5") == ["a live playlist, which has no end yet", "HTTP 503", "HTTP 403"]
    assert [reference.sha256 for reference in pages["6"].media] == [sound]
    assert web.asked["/one.mp3"] == 1, "a recording is fetched once a run"
    stored = {item.key: item.size for item in crawl.store.list("media/")}
    kept = {one.s3_key: one.bytes for page in pages.values() for one in page.media if one.s3_key}
    assert stored == kept
    assert set(kept) >= {f"media/{sound[:2]}/{sound}.mp3", f"media/{film[:2]}/{film}.mp4"}

    # The next run: two are there by now, one is not.
    web.answers["/late.mp3"] = Answer(SOUND)
    web.answers["/live"] = Answer(live + "#EXT-X-ENDLIST\n")
    web.asked.clear()
    before = pages["5"]
    totals = crawl.run(**quick)
    assert (totals["crawled"], totals["media"]) == (0, 2)
    assert {path for path in web.asked if path.endswith((".mp3", ".mp4"))} == {
        "/late.mp3", "/never.mp3", "/page.mp4", "/broken.mp4"
    }  # fmt: skip
    assert not any(path.startswith("/a/") for path in web.asked)
    records = [document for document in crawl.documents() if document.url.endswith("/a/5")]
    assert len(records) == 2
    after = records[1]
    assert after.model_copy(update={"media": before.media, "run_id": before.run_id}) == before
    assert [reference.sha256 for reference in after.media][1:] == [sound, None]
    assert after.media[0].sha256 == pages["4"].media[0].sha256, "the same segments give the same file"
    assert after.media[2].error == "HTTP 403"

    # And the one after: the last one, and the record still has the others.
    web.answers["/never.mp3"] = Answer(FILM)
    crawl.run(**quick, retry_rest_s="0")
    assert [reference.sha256 for reference in newest(crawl)["5"].media][1:] == [sound, film]
    waiting = [line for item in crawl.store.list("retries/") for line in lines(crawl.store.get(item.key))]
    assert {json.loads(line)["url"].rsplit("/", 1)[1] for line in waiting} == {"page.mp4", "broken.mp4"}


def lines(data: bytes) -> list[bytes]:
    return gzip.decompress(data).splitlines()


def test_late_recordings_of_a_batch_that_has_gone(crawl: Crawl, web: WebServer) -> None:
    web.answers["/late.mp3"] = Answer(status=403)
    web.article("/a/1", text='<audio src="/late.mp3"></audio>')
    web.hub(["/a/1"])
    crawl.define(web.site())
    crawl.run()
    (batch,) = [item.key for item in crawl.store.list("raw/")]
    assert read_raw_document(lines(crawl.store.get(batch))[0]).media[0].error == "HTTP 403"
    crawl.store.delete(batch)
    web.answers["/late.mp3"] = Answer(SOUND)
    assert crawl.run()["crawled"] == 0
    assert crawl.documents() == []
    assert list(crawl.store.list("retries/")) == []


def test_a_page_does_not_wait_for_ever(crawl: Crawl, web: WebServer) -> None:
    def late() -> Answer:
        time.sleep(3)
        return Answer(SOUND)

    web.answers["/slow.mp3"] = late
    web.answers["/one.mp3"] = Answer(SOUND)
    web.article("/a/1", text='<audio src="/one.mp3"></audio><audio src="/slow.mp3"></audio>')
    web.hub(["/a/1"])
    crawl.define(web.site())
    totals = crawl.run(media_wait_s="1", batch_seconds="0.2")
    assert (totals["crawled"], totals["media"]) == (1, 2)
    first, second = crawl.documents()
    assert "comes again" in (first.media[1].error or "")
    assert [reference.error for reference in second.media] == [None, None]
    assert second.model_copy(update={"media": first.media}) == first
    assert list(crawl.store.list("retries/")) == []
    assert crawl.run()["crawled"] == 0
    assert web.asked["/slow.mp3"] == 1


def test_a_stopped_crawl_keeps_the_pages_whose_recordings_are_on_their_way(crawl: Crawl, web: WebServer) -> None:
    web.answers["/never.mp3"] = Answer(behave=lambda handler: time.sleep(60))
    web.article("/a/1", text='<audio src="/never.mp3"></audio>')
    web.hub(["/a/1"])
    crawl.define(web.site())
    process = crawl.start("local", stop_timeout_s="3", download_timeout_s="100", media_wait_s="100")
    deadline = time.monotonic() + 120
    while not web.asked["/never.mp3"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    status, output, errors = crawl.finish(process, signal.SIGTERM)
    assert status == 0, errors
    assert json.loads(output)["crawled"] == 1
    assert "comes again" in (crawl.documents()[0].media[0].error or "")
    web.answers["/never.mp3"] = Answer(SOUND)
    totals = crawl.run()
    assert (totals["crawled"], totals["media"]) == (0, 1)
    assert crawl.documents()[1].media[0].error is None
    assert web.asked["/a/1"] == 1

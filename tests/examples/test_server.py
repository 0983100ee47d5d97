"""The newsroom as a visitor sees it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

import httpx
import pytest

from examples.newsroom import running
from examples.newsroom.edition import edition
from examples.newsroom.launch import ROOT, NewsroomDidNotStart
from examples.newsroom.media.portal import DEAD_PATHS, FORBIDDEN_PATHS
from examples.newsroom.recordings import FOLDER, RECORDINGS
from tests.examples.conftest import fetch_all

Pages = dict[str, httpx.Response]


def test_every_article_is_reachable_by_links_alone(newsroom: dict[str, str], everything: Pages) -> None:
    addresses = [newsroom[article.medium] + article.path for article in edition().articles]
    assert len(addresses) >= 150
    for address in addresses:
        assert everything[address].status_code == 200, address


def test_pages_carry_title_text_source_and_editor(newsroom: dict[str, str], everything: Pages) -> None:
    for article in edition().articles:
        path = article.path.replace("/p/", "/api/post/")
        encoding = "gb18030" if article.medium == "finance" else "utf-8"
        body = everything[newsroom[article.medium] + path].content.decode(encoding)
        text = json.dumps(json.loads(body), ensure_ascii=False) if article.medium == "tech" else body
        for part in (article.title, *article.paragraphs, article.author, article.editor, article.source):
            escaped = json.dumps(part, ensure_ascii=False)[1:-1]
            html = part.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
            html = html.replace('"', "&#34;").replace("'", "&#39;")
            assert escaped in text or html in text


def test_finance_pages_are_gb18030_and_only_the_page_says_so(newsroom: dict[str, str], everything: Pages) -> None:
    pages = {
        url: page
        for url, page in everything.items()
        if url.startswith(newsroom["finance"]) and url.endswith((".html", "/"))
    }
    assert len(pages) > 80
    for url, page in pages.items():
        assert page.headers["content-type"] == "text/html", url
        assert b"charset=gb2312" in page.content
        assert "岚港财经" in page.content.decode("gb18030")
        with pytest.raises(UnicodeDecodeError):
            page.content.decode("utf-8")
    outside_gb2312 = 0
    for page in pages.values():
        try:
            page.content.decode("gb2312")
        except UnicodeDecodeError:
            outside_gb2312 += 1
    assert outside_gb2312, "some page needs more than the gb2312 that it claims"


def test_finance_links_carry_tracking_parameters(newsroom: dict[str, str], everything: Pages) -> None:
    text = everything[newsroom["finance"] + "/stock/"].content.decode("gb18030")
    links = re.findall(r'<a class="title" href="([^"]+)"', text)
    assert len(links) == 10
    assert all(re.search(r"\?(utm_source|spm|from)=", link) for link in links)
    everywhere = "".join(
        page.content.decode("gb18030", "replace")
        for url, page in everything.items()
        if url.startswith(newsroom["finance"])
    )
    path = links[0].partition("?")[0]
    assert len(set(re.findall(re.escape(path) + r'\?[^"]+', everywhere))) > 1


def test_publication_times_are_written_as_each_medium_writes_them(newsroom: dict[str, str], everything: Pages) -> None:
    texts = {"finance": "", "portal": "", "tech": ""}
    for article in edition().articles:
        path = article.path.replace("/p/", "/api/post/")
        texts[article.medium] += everything[newsroom[article.medium] + path].content.decode(
            "gb18030" if article.medium == "finance" else "utf-8"
        )
    assert re.search(r"2025年0\d月\d\d日 \d\d:\d\d<", texts["finance"])
    assert re.search(r"<time>2025-0\d-\d\d \d\d:\d\d:\d\d</time>", texts["portal"])
    assert re.search(r"2025年[123]月\d{1,2}日 下午\d{1,2}:\d\d", texts["tech"])


def test_robots_forbid_what_a_list_links_to(newsroom: dict[str, str], everything: Pages) -> None:
    robots = everything[newsroom["portal"] + "/robots.txt"].text
    assert "Disallow: /internal/" in robots
    assert f"Sitemap: {newsroom['portal']}/sitemap_index.xml" in robots
    listing = everything[newsroom["portal"] + "/china/"].text
    for path in FORBIDDEN_PATHS:
        assert f'href="{path}"' in listing
        assert everything[newsroom["portal"] + path].status_code == 200


def test_dead_links_are_404(newsroom: dict[str, str], everything: Pages) -> None:
    for path in DEAD_PATHS:
        assert everything[newsroom["portal"] + path].status_code == 404
    for name, path in (
        ("finance", "/stock/list_99.html"),
        ("portal", "/nothing/"),
        ("tech", "/p/1"),
        ("tech", "/list/99"),
    ):
        assert httpx.get(newsroom[name] + path).status_code == 404


def test_old_addresses_redirect_and_three_articles_have_no_other_link(
    newsroom: dict[str, str], everything: Pages
) -> None:
    base = newsroom["portal"]
    moved = [article for article in edition().articles if article.old_path]
    assert len(moved) == 6
    for article in moved:
        answer = everything[f"{base}{article.old_path}"]
        assert (answer.status_code, answer.headers["location"]) == (301, base + article.path)
    hidden = [article.path for article in moved if article.only_old_address_linked]
    assert len(hidden) == 3
    for url, page in everything.items():
        if page.headers.get("content-type", "").startswith(("text", "application/xml")) and not url.endswith(
            tuple(hidden)
        ):
            assert not any(path.encode() in page.content for path in hidden), url


def test_feed_and_sitemaps(newsroom: dict[str, str], everything: Pages) -> None:
    base = newsroom["portal"]
    feed = ElementTree.fromstring(everything[f"{base}/rss/news.xml"].content)
    assert len(feed.findall("channel/item")) == 30
    assert all((link.text or "").startswith(f"{base}/a/") for link in feed.findall("channel/item/link"))
    index = everything[f"{base}/sitemap_index.xml"].text
    assert f"<loc>{base}/sitemap_news.xml</loc>" in index
    locations = re.findall(r"<loc>([^<]+)</loc>", everything[f"{base}/sitemap_news.xml"].text)
    listed = {base + article.path for article in edition().of("portal") if not article.only_old_address_linked}
    assert len(locations) == len(listed)
    assert set(locations) == listed
    ElementTree.fromstring(everything[f"{base}/sitemap_news.xml"].content)


def test_the_broken_page_is_cut_and_not_utf8(newsroom: dict[str, str], everything: Pages) -> None:
    page = everything[newsroom["portal"] + edition().broken.path]
    assert page.status_code == 200
    assert not page.content.endswith(b">")
    with pytest.raises(UnicodeDecodeError):
        page.content.decode("utf-8")


def test_the_tech_shell_is_empty_without_its_script(newsroom: dict[str, str], everything: Pages) -> None:
    for article in edition().of("tech"):
        shell = everything[newsroom["tech"] + article.path].text
        assert '<div id="app"></div>' in shell
        assert article.title not in shell
        assert not any(paragraph in shell for paragraph in article.paragraphs)


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.file)
def test_recordings_are_served_whole_and_in_ranges(
    newsroom: dict[str, str], everything: Pages, recording: object
) -> None:
    assert isinstance(recording, type(RECORDINGS[0]))
    url, content = newsroom[recording.medium] + recording.path, (FOLDER / recording.file).read_bytes()
    whole = everything[url]
    assert whole.content == content
    assert whole.headers["content-type"] == recording.content_type
    assert whole.headers["accept-ranges"] == "bytes"
    part = httpx.get(url, headers={"Range": "bytes=1000-1999"})
    assert (part.status_code, part.content) == (206, content[1000:2000])
    assert part.headers["content-range"] == f"bytes 1000-1999/{len(content)}"
    assert httpx.get(url, headers={"Range": f"bytes={len(content)}-"}).status_code == 416


def test_no_label_is_in_any_answer(everything: Pages) -> None:
    for url, page in everything.items():
        if page.headers.get("content-type", "").startswith(("text/html", "application")):
            assert not re.search(rb"\b(positive|neutral|negative|sentiment|label)\b", page.content), url


def test_the_control_port_counts_requests(newsroom: dict[str, str]) -> None:
    control = newsroom["control"] + "/__requests__"
    assert httpx.delete(control).json() == {"finance": {}, "portal": {}, "tech": {}}
    httpx.get(newsroom["portal"] + FORBIDDEN_PATHS[0])
    for tracking in ("", "?spm=1", "?from=list"):
        httpx.get(newsroom["finance"] + "/stock/" + tracking)
    httpx.head(newsroom["tech"] + "/p/1")
    counts = httpx.get(control).json()
    assert counts == {"finance": {"/stock/": 3}, "portal": {FORBIDDEN_PATHS[0]: 1}, "tech": {"/p/1": 1}}
    assert httpx.get(newsroom["control"] + "/__health__").json() == {"ok": True}


def test_another_start_serves_the_same_bytes(newsroom: dict[str, str], everything: Pages) -> None:
    def as_of_first(data: bytes, base_urls: dict[str, str]) -> bytes:
        for name, url in base_urls.items():
            data = data.replace(url.encode(), newsroom[name].encode())
        return data

    with running() as again:
        assert again != newsroom
        other = {
            as_of_first(url.encode(), again).decode(): (page.status_code, as_of_first(page.content, again))
            for url, page in fetch_all(again).items()
        }
    assert sorted(other) == sorted(everything)
    assert [url for url, page in everything.items() if other[url] != (page.status_code, page.content)] == []


def test_the_ports_can_be_taken_again_at_once() -> None:
    with running() as base_urls:
        httpx.get(base_urls["portal"])
    with running(int(base_urls["finance"].rpartition(":")[2])) as again:
        assert again == base_urls


def test_ports_that_are_taken_are_an_error_with_a_cure() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(NewsroomDidNotStart, match="give another --port"),
        running(taken.getsockname()[1]),
    ):
        pass


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(tmp_path: Path, stop: signal.Signals) -> None:
    port_file = tmp_path / "newsroom.json"
    command = [sys.executable, "-m", "examples.newsroom", "serve", "--port", "0", "--port-file", str(port_file)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as child:
        assert child.stdout
        lines = [child.stdout.readline().decode().split() for _ in range(4)]
        written = json.loads(port_file.read_text()) if port_file.exists() else None
        os.kill(child.pid, stop)
        rest = child.stdout.read().decode()
        assert (child.wait(timeout=30), rest) == (0, "")
    assert [line[0] for line in lines] == ["finance", "portal", "tech", "control"]
    if written:
        assert {name: url.rstrip("/") for name, url in lines} == written


def test_the_finance_portal_finds_names_written_in_its_own_encoding(newsroom: dict[str, str]) -> None:
    wanted = edition().of("finance")[20].title
    page = httpx.get(f"{newsroom['finance']}/so/?q={quote(wanted.encode('gb18030'))}")
    results = page.content.decode("gb18030").partition('<ul class="results">')[2].partition("</ul>")[0]
    assert edition().of("finance")[20].path in results
    nothing = httpx.get(f"{newsroom['finance']}/so/?q={quote('没有这样的名字'.encode('gb18030'))}")
    assert '<ul class="results">\n</ul>' in nothing.content.decode("gb18030")

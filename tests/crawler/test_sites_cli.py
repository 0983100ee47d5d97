"""`yuqing sites`: the table, the complaints, and the canary against the newsroom and a site that has changed."""

import json
import os
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from crawler.scratch_store import ScratchStore
from examples.newsroom.sites import write_sites
from tests.crawler.conftest import ROOT, Answer, WebServer
from yuqing.contracts import now
from yuqing.objects import ObjectMissing


def yuqing(*arguments: str, folder: Path, status: int = 0) -> tuple[str, str]:
    """Run `yuqing sites ...` with the folder's sites, without any S3: (standard output, standard error)."""
    environment = {**os.environ, "HOME": str(folder), "YUQING_CRAWLER__SITES_FOLDERS": json.dumps([str(folder)])}
    done = subprocess.run(
        [sys.executable, "-m", "yuqing", "sites", *arguments],
        cwd=ROOT,
        env={**environment, "YUQING_DATA_DIR": str(folder / "state"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == status, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout, done.stderr


def write(folder: Path, site: dict[str, Any]) -> Path:
    path = folder / f"{site['name']}.yaml"
    path.write_text(yaml.safe_dump(site, allow_unicode=True), encoding="utf-8")
    return path


def findings(report: dict[str, Any]) -> dict[str, dict[str, str]]:
    return {finding["rule"]: finding for finding in report["findings"]}


def test_the_list_and_its_complaints(tmp_path: Path, web: WebServer) -> None:
    write(tmp_path, web.site(feeds=[f"{web.url}/rss"], verified=date(2026, 11, 20)))
    output, _ = yuqing("list", "--json", folder=tmp_path)
    assert json.loads(output) == [
        {
            "name": "local",
            "title": "本地",
            "media_type": "news",
            "weight": 1.0,
            "sources": {"start_urls": 1, "feeds": 1},
            "schedule": "*/10 * * * *",
            "verified": "2026-11-20",
        }
    ]
    output, _ = yuqing("list", folder=tmp_path)
    assert "本地" in output and "1 start_urls, 1 feeds" in output and "2026-11-20" in output

    (tmp_path / "a.yaml").write_text("name: a\ntitel: A\nfeeds: https://a.example/\narticles: [https://a.example/]\n")
    (tmp_path / "b.yaml").write_text("name: [\n")
    _, errors = yuqing("list", folder=tmp_path, status=2)
    assert "a.yaml, line 2: titel: there is no such field; did you mean title?" in errors
    assert "a.yaml, line 3: feeds: must be a list" in errors
    assert "a.yaml, line 1: title: is missing" in errors
    assert "b.yaml, line 2: not valid YAML" in errors


@pytest.mark.service
def test_the_newsroom_passes_without_s3(tmp_path: Path, newsroom: dict[str, str]) -> None:
    paths = {path.stem: path for path in write_sites(tmp_path, newsroom)}
    before = paths["newsroom-finance"].read_text(encoding="utf-8")
    output, _ = yuqing(
        "check", "newsroom-finance", "--pages", "4", "--name", "岚港", "--set-date", "--json", folder=tmp_path
    )
    report = json.loads(output)
    assert report["verdict"] == "ok", report["findings"]
    assert {source["rule"] for source in report["sources"]} >= {
        "start_urls.0",
        "lists.0",
        "lists.1",
        "lists.2",
        "search.0",
    }
    assert len(report["articles"]) == 5  # one of each source
    for article in report["articles"]:
        assert article["title"] and article["author"] and article["published_at"]
        assert article["encoding"] == "gb18030"
        assert article["characters"] > 100
        assert article["pattern"]
    after = paths["newsroom-finance"].read_text(encoding="utf-8")
    assert after == f"{before}verified: {date.today()}\n"

    output, _ = yuqing("check", str(paths["newsroom-tech"]), "--pages", "2", folder=tmp_path)
    assert "ok browser.0" in " ".join(output.split())
    assert "in Chromium" in output
    assert "0 fail" in output


def test_a_site_that_has_changed(tmp_path: Path, web: WebServer) -> None:
    old, fresh = now() - timedelta(days=900), now() - timedelta(hours=1)
    for number in range(4):
        web.article(f"/a/{number}", "很短" if number == 1 else "正文" * 100, '<meta name="time" content="yesterday">')
    web.hub(["/a/1", "/news/2026-11-20/doc-123456.html", "/news/2026-11-19/doc-123457.html", "/about"])
    web.hub(["/news/2026-11-20/doc-123456.html"], "/moved")
    web.hub(["/a/2"], "/narrow")
    item = "<item><title>题</title><link>{0}/a/3</link><pubDate>{1:%a, %d %b %Y %H:%M:%S} +0000</pubDate></item>"
    web.answers["/stale"] = Answer(f"<rss><channel>{item.format(web.url, old)}</channel></rss>")
    web.answers["/fresh"] = Answer(f"<rss><channel>{item.format(web.url, fresh)}</channel></rss>")
    web.answers["/html"] = Answer("<html><body>no feed</body></html>")
    web.answers["/old.xml"] = Answer(
        f"<urlset><url><loc>{web.url}/a/9</loc><lastmod>{old:%Y-%m-%d}</lastmod></url></urlset>"
    )
    web.answers["/api"] = Answer('{"result": []}')
    web.answers["/robots.txt"] = Answer("User-agent: *\nDisallow: /secret\n")
    escaped = web.url.replace(".", r"\.")
    path = write(
        tmp_path,
        web.site(
            start_urls=[f"{web.url}/secret", f"{web.url}/"],
            lists=[
                {"url": f"{web.url}/moved", "links": "ul a"},
                {"url": f"{web.url}/narrow", "links": "div.gone a"},
                {"url": f"{web.url}/gone"},
                {"url": f"{web.url}/api", "json": {"items": "data.list"}},
                {"url": f"{web.url}/narrow?p=1", "next": "a.next", "pages": 3},
            ],
            feeds=[f"{web.url}/stale", f"{web.url}/fresh", f"{web.url}/html"],
            sitemaps=[f"{web.url}/old.xml"],
            search=[{"url": f"{web.url}/so?q={{name}}"}],
            articles=[rf"{escaped}/a/.+", rf"{escaped}/p/\d+"],
            fields={"title": "title", "published_at": "//meta[@name='time']/@content"},
            browser=[{"urls": rf"{escaped}/video/"}],
        ),
    )
    web.hub(["/a/2", "/about"], "/narrow?p=1")
    before = path.read_bytes()
    output, _ = yuqing("check", "local", "--set-date", "--json", folder=tmp_path, status=1)
    found = findings(json.loads(output))
    assert path.read_bytes() == before
    for rule, verdict, says in (
        ("start_urls.0", "fail", "forbidden by robots.txt"),
        ("start_urls.1", "ok", "1 of 4 links"),
        ("lists.0", "fail", r"0 of 1 links match `articles`; the most frequent shapes of the links are " + web.url),
        ("lists.1", "fail", "the selector div.gone a finds no links; the whole page has 1, of which 1 are articles"),
        ("lists.2", "fail", "HTTP 404"),
        ("lists.3", "fail", "`items` (data.list) finds nothing"),
        ("lists.4", "warn", "`next` (a.next) finds no link"),
        ("feeds.0", "warn", f"the newest is of {old:%Y-%m-%d}"),
        ("feeds.1", "ok", "1 of 1 links are articles"),
        ("feeds.2", "fail", "has no entries"),
        ("sitemaps.0", "fail", "more than 30 days ago"),
        ("search.0", "warn", "was not asked"),
        ("articles.0", "ok", "match"),
        ("articles.1", "warn", "no address that was found matches"),
        ("text", "warn", "1 of 3 articles have fewer than 100"),
        ("fields.title", "ok", "3 of 3"),
        ("fields.published_at", "fail", "finds 'yesterday', which is no time"),
        ("browser.0", "warn", "no page that was visited"),
    ):
        assert (found[rule]["verdict"], says in found[rule]["says"]) == (verdict, True), found[rule]
        assert found[rule]["cure"] or verdict == "ok"
    output, _ = yuqing("check", "local", folder=tmp_path, status=1)
    assert r"/news/\d{4}-\d{2}-\d{2}/doc-\d{6}.html" in output
    assert not any(asked.startswith("/secret") for asked in web.asked)

    _, errors = yuqing("check", "nobody", folder=tmp_path, status=2)
    assert "there is no site 'nobody'" in errors


def test_canonical_addresses_that_would_lose_pages(tmp_path: Path, web: WebServer) -> None:
    named = {
        "/a/1": "/a/1",
        "/a/2": "/a/1",
        "/a/detail?id=7001": "/a/detail",
        "/a/3": "https://other.cn/a/3",
        "/a/4": "/",
    }
    for path, canonical in named.items():
        web.article(path, "正文" * 100, f'<link rel="canonical" href="{canonical}">')
    web.hub(list(named))
    write(tmp_path, web.site())
    output, _ = yuqing("check", "local", "--pages", "9", "--json", folder=tmp_path)
    said = {finding["says"]: finding for finding in json.loads(output)["findings"] if finding["rule"] == "canonical"}
    assert all(finding["verdict"] == "warn" and finding["cure"] for finding in said.values())
    for says in (
        f"2 of 5 articles name {web.url}/a/1 as their canonical address",
        f"it leaves out what may be the page's number: {web.url}/a/detail?id=7001 names {web.url}/a/detail",
        f"it is on another host: {web.url}/a/3 names https://other.cn/a/3",
        f"it is no article by the site's patterns: {web.url}/a/4 names {web.url}/",
    ):
        assert [each for each in said if says in each], (says, said)
    assert len(said) == 4

    for path in named:
        web.article(path, "正文" * 100, '<link rel="canonical" href="/a/1">')
    output, _ = yuqing("check", "local", "--pages", "9", "--json", folder=tmp_path, status=1)
    assert findings(json.loads(output))["canonical"]["verdict"] == "fail"
    assert len(json.loads(output)["articles"]) == 1
    write(tmp_path, web.site(canonical_links=False))
    output, _ = yuqing("check", "local", "--pages", "9", "--json", folder=tmp_path)
    assert "canonical" not in findings(json.loads(output))
    assert {article["canonical"] for article in json.loads(output)["articles"]} == {web.url + path for path in named}


def test_the_scratch_store_keeps_the_object_store_s_promises(tmp_path: Path) -> None:
    store = ScratchStore()
    assert store.put("a/1", b"0123", only_if_absent=True)
    assert not store.put("a/1", b"", only_if_absent=True)
    assert b"".join(store.stream("a/1", first=1, last=2)) == b"12"
    (tmp_path / "file").write_bytes(b"file")
    store.put_file("b/2/3", tmp_path / "file")
    assert store.get("b/2/3") == b"file"
    assert [item.key for item in store.list("", start_after="a/1")] == ["b/2/3"]
    assert store.folders("") == ["a", "b"]
    store.delete("a/1")
    assert not store.exists("a/1")
    with pytest.raises(ObjectMissing):
        store.get("a/1")

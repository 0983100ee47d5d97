"""`yuqing sites new`: drafts with which a crawl finds the articles, and what it says of addresses that are no site."""

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from examples.newsroom.edition import MediumName, edition
from tests.crawler.conftest import ROOT, Answer, Crawl, WebServer
from yuqing.cli import main
from yuqing.site_files import load_site

HEADLINE = "央行今日开展一千亿元逆回购操作"


def new(*arguments: str, folder: Path, status: int = 0, **settings: str) -> tuple[str, str]:
    """Run `yuqing sites new`: (standard output, standard error)."""
    environment = {**os.environ, "HOME": str(folder), "YUQING_DATA_DIR": str(folder / "state"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "yuqing", "sites", "new", *arguments],
        cwd=folder,
        env={**environment, **{f"YUQING_CRAWLER__{name.upper()}": value for name, value in settings.items()}},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == status, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout, done.stderr


@pytest.mark.service
@pytest.mark.parametrize("medium", ["finance", "portal"])
def test_a_crawl_with_the_draft_finds_the_articles(
    medium: MediumName, crawl: Crawl, newsroom: dict[str, str], tmp_path: Path
) -> None:
    crawl.sites.mkdir()
    draft = crawl.sites / f"{medium}.yaml"
    output, _ = new(
        f"{newsroom[medium]}/",
        "--name",
        medium,
        "--allow-private",
        "--delay",
        "0",
        "--output",
        str(draft),
        folder=tmp_path,
    )
    assert f"{draft} is written" in output
    site = load_site(draft)
    assert (site.name, site.verified, site.allow_private_addresses) == (medium, None, True)
    assert site.title == {"finance": "岚港财经", "portal": "汀洲新闻网"}[medium]
    assert site.fields.title and site.fields.published_at
    assert [rule.encoding for rule in site.search] == (["gb18030"] if medium == "finance" else [])
    draft.write_text(draft.read_text(encoding="utf-8").replace("delay: 0.2", "delay: 0"), encoding="utf-8")

    crawl.run()
    found = {urlsplit(document.canonical_url).path for document in crawl.documents()}
    articles = {article.path for article in edition().of(medium)}
    assert len(found & articles) >= 0.9 * len(articles), sorted(articles - found)
    assert all(document.title and document.published_at for document in crawl.documents())


@pytest.mark.service
def test_a_site_made_by_javascript(newsroom: dict[str, str], tmp_path: Path) -> None:
    output, _ = new(f"{newsroom['tech']}/", "--allow-private", "--delay", "0", "--output", "tech.yaml", folder=tmp_path)
    assert "empty without JavaScript: it was loaded in Chromium" in output
    site = load_site(tmp_path / "tech.yaml")
    assert site.browser_rule(f"{newsroom['tech']}/p/20008")
    assert site.is_article(f"{newsroom['tech']}/p/20008")
    assert site.lists[0].next


def test_the_draft_of_a_small_site(web: WebServer, tmp_path: Path) -> None:
    days = [f"/a/202611{day:02}/{number:03}.shtml" for day in (19, 20) for number in range(1, 5)]
    for path in days:
        web.article(path, f"{HEADLINE}。" * 20, '<link rel="canonical" href="x">')
    listed = "".join(f'<li><a href="{path}">{HEADLINE}{path[-9:-6]}</a></li>' for path in days[:4])
    links = f"<ul>{listed}</ul><a href='/stock/'>股票</a><a href='/about'>关于我们</a><a href='/secret/'>内部</a>"
    web.answers["/"] = Answer(f"<title>首页_甲报: 'A'</title>{links}")
    rest = "".join(f'<li><a href="{path}">{HEADLINE}</a></li>' for path in days[2:])
    web.answers["/stock/"] = Answer(f"<ul>{rest}</ul><a href='/stock/2.shtml'>下一页</a>")
    web.answers["/robots.txt"] = Answer("User-agent: *\nDisallow: /secret/\n")
    for page in ("/", "/stock/", days[0], days[4]):  # each fails once, and is asked for again
        failure = Answer(status=503) if page != "/stock/" else Answer(behave=lambda handler: handler.connection.close())
        answer = web.answers[page]
        web.answers[page] = lambda page=page, failure=failure, answer=answer: (
            failure if web.asked[page] == 1 else answer
        )
    options = ("--allow-private", "--delay", "0", "--output", "-")
    output, _ = new(f"{web.url}/", *options, folder=tmp_path, backoff_base_s="0.05")
    path = tmp_path / "a.yaml"
    path.write_text(output, encoding="utf-8")
    site = load_site(path)
    assert site.title == "甲报: 'A'"
    assert site.start_urls == (f"{web.url}/",)
    assert [(rule.url, rule.page_urls) for rule in site.lists] == [
        (f"{web.url}/stock/", f"{web.url}/stock/{{page}}.shtml")
    ]
    assert len(site.articles) == 1
    assert all(site.is_article(web.url + each) for each in days)
    assert not any(asked.startswith(("/secret", "/about")) for asked in web.asked)
    for line in output.splitlines():
        if line.startswith(("title", "media_type", "  - ")):
            assert "#" in line or "# " in output[: output.index(line)].splitlines()[-1], line  # a reason at each guess


def test_mistakes_that_are_seen_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.yaml").write_text("mine", encoding="utf-8")
    for arguments, says in (
        ([], "URL"),
        (["not an address"], "is no address"),
        (["ftp://a.example/"], "is no address"),
        (["a.example", "--name", "大报"], "'大报' is no name"),
        (["a.example", "--output", "there.yaml"], "there.yaml exists"),
        (["a.example", "--output", "no/folder/a.yaml"], "the folder no/folder does not exist"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["sites", "new", *arguments])
        errors = capsys.readouterr().err
        assert ended.value.code == 2
        assert says in errors, errors
    assert Path("there.yaml").read_text(encoding="utf-8") == "mine"


def test_what_is_no_site(web: WebServer, tmp_path: Path) -> None:
    web.answers["/pdf"] = Answer(b"%PDF-1.7\0\0", headers={"Content-Type": "application/pdf"})
    web.answers["/empty"] = Answer("")
    web.answers["/words"] = Answer("<title>nothing</title><p>" + "words " * 100 + "</p><a href='/about'>关于</a>")
    web.answers["/forbidden"] = Answer("never seen")
    web.answers["/robots.txt"] = Answer("User-agent: *\nDisallow: /forbidden\n")
    private = ("--allow-private", "--delay", "0")
    for arguments, says in (
        (["http://nowhere.invalid/"], "cannot be had"),
        ([f"{web.url}/gone", *private], "answers HTTP 404"),
        ([f"{web.url}/pdf", *private], "application/pdf is no text"),
        ([f"{web.url}/empty", *private], "empty page"),
        ([f"{web.url}/words", *private], "no links that look like articles"),
        ([f"{web.url}/forbidden", *private], "robots.txt"),
        ([f"{web.url}/words"], "--allow-private"),
    ):
        _, errors = new(*arguments, folder=tmp_path, status=2, retries="0")
        assert says in errors, (arguments, errors)
        assert "Traceback" not in errors and "  -> " in errors, (arguments, errors)
    assert not list(tmp_path.glob("*.yaml"))
    assert "/forbidden" not in web.asked

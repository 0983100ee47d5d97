"""A site's file: what is read, and what is said of mistakes."""

import re
from datetime import date
from pathlib import Path

import pytest

from crawler.cli import known_sites
from yuqing.settings import load_settings
from yuqing.site_files import SiteError, load_site, load_sites, set_verified

GOOD = r"""# a comment
name: caijing
title: 财经日报
media_type: finance
lists:
  - url: https://www.caijing.example/stock/
    next: div.pager a.next
    pages: 5
articles:
  - 'https?://www\.caijing\.example/\w+/doc-\w+\.html'
exclude: ['https?://www\.caijing\.example/special/']
browser:
  - urls: 'https?://www\.caijing\.example/video/'
    wait_for: '#app'
charset: gb2312
"""


def written(folder: Path, text: str, name: str = "caijing.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_good_file(tmp_path: Path) -> None:
    site = load_site(written(tmp_path, GOOD))
    assert site.name == "caijing"
    assert site.lists[0].pages == 5
    assert site.charset == "gb2312"
    assert site.obey_robots
    assert not site.allow_private_addresses
    assert site.is_article("https://www.caijing.example/stock/doc-1.html")
    assert not site.is_article("https://www.caijing.example/special/doc-1.html")
    assert not site.is_article("https://elsewhere.example/?u=https://www.caijing.example/stock/doc-1.html")
    rule = site.browser_rule("https://www.caijing.example/video/7")
    assert rule is not None
    assert rule.wait_for == "#app"
    assert site.browser_rule("https://www.caijing.example/stock/") is None


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("media_type: finance", "media_type: money", 4, "media_type"),
        ("pages: 5", "pages: many", 8, "lists.0.pages"),
        ("https://www.caijing.example/stock/", "www.caijing.example/stock/", 6, "not a complete http"),
        (r"'https?://www\.caijing\.example/\w+/doc-\w+\.html'", "'https?://(['", 10, "not a regular expression"),
        (r"'https?://www\.caijing\.example/\w+/doc-\w+\.html'", r"'/doc-\w+'", 10, "from the scheme on"),
        ("charset: gb2312", "charset: klingon", 15, "unknown charset"),
        ("name: caijing", "name: 财经", 2, "name"),
        ("charset: gb2312", "charsets: gb2312", 15, "charsets"),
        ("next: div.pager a.next", "links: a", 6, "`pages` needs `next`"),
        ("next: div.pager a.next", "next: 'a['", 7, "lists.0.next: not a CSS selector"),
        ("next: div.pager a.next", "next: 'a::attr(href)'", 7, "lists.0.next: a pseudo-element"),
        ("next: div.pager a.next", "next: '  '", 7, "lists.0.next: empty"),
        ("next: div.pager a.next", "next: a.next\n    links: 'ul['", 8, "lists.0.links: not a CSS selector"),
        ("wait_for: '#app'", "wait_for: '#app['", 14, "wait_for: not a CSS selector: a ] is missing"),
        ("wait_for: '#app'", "load_more: {selector: 'a)'}", 14, "load_more.selector: not a CSS selector: a ) closes"),
        ("charset: gb2312", "fields: {title: 'h1['}", 15, "fields.title: not a CSS selector"),
        ("charset: gb2312", "fields: {title: '//h1['}", 15, "fields.title: not an XPath"),
        ("charset: gb2312", "fields: {text: '.a::text'}", 15, "fields.text: a pseudo-element"),
        ("charset: gb2312", "feeds: ['http://a.example:99999/rss']", 15, "feeds.0: its port is none"),
        ("charset: gb2312", "proxies: ['http://a.example:port']", 15, "proxies.0: its port is none"),
        ("charset: gb2312", "headers: {X-Note: 新闻}", 15, "headers.X-Note: has characters"),
        ("charset: gb2312", "headers: {'X Note': a}", 15, "not a header's name"),
        ("charset: gb2312", "cookies: {city: 'a; b'}", 15, "cookies.city: has a semicolon"),
        ("charset: gb2312", "feeds: &feeds [*feeds]", 15, "feeds.0"),
    ],
)
def test_a_mistake_names_file_line_field_and_cure(tmp_path: Path, old: str, new: str, line: int, says: str) -> None:
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new))
    with pytest.raises(SiteError, match=re.escape(says)) as caught:
        load_site(path)
    assert f"{path}, line {line}:" in caught.value.message
    assert caught.value.cure


def test_broken_yaml_names_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, "name: a\ntitle: [\n")
    with pytest.raises(SiteError, match="line 3: not valid YAML"):
        load_site(path)


def test_yaml_without_end(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="nested too deeply"):
        load_site(written(tmp_path, "a: " + "[" * 1000))


def test_selectors_that_work_are_taken(tmp_path: Path) -> None:
    fields = (
        "fields: {title: 'h1::text', author: 'meta::attr(content), b', published_at: //time/@datetime, text: '//p'}"
    )
    site = load_site(
        written(
            tmp_path,
            GOOD.replace("'#app'", """'a:not(.x, [b=")" i]):is(p \\[ a)'""").replace("charset: gb2312", fields),
        )
    )
    assert site.browser[0].wait_for == r"""a:not(.x, [b=")" i]):is(p \[ a)"""
    assert site.fields.published_at == "//time/@datetime"


@pytest.mark.parametrize("text", ["", "- a\n", "text"])
def test_no_mapping(tmp_path: Path, text: str) -> None:
    with pytest.raises(SiteError, match="not a mapping"):
        load_site(written(tmp_path, text))


def test_a_site_needs_a_beginning(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="has no beginning"):
        load_site(written(tmp_path, "name: a\ntitle: b\narticles: ['https?://a.example/']\n"))


def test_two_files_of_one_name(tmp_path: Path) -> None:
    written(tmp_path, GOOD, "a.yaml")
    written(tmp_path, GOOD, "b.yaml")
    with pytest.raises(SiteError, match=r"already defined in .*a\.yaml"):
        load_sites([tmp_path])


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="does not exist"):
        load_sites([tmp_path / "nowhere"])


def test_the_example_of_the_documentation_is_valid(tmp_path: Path) -> None:
    documentation = (Path(__file__).parents[2] / "docs" / "crawler.md").read_text(encoding="utf-8")
    match = re.search(r"```yaml\n(.*?)```", documentation, re.DOTALL)
    assert match
    site = load_site(written(tmp_path, match[1]))
    assert set(re.findall(r"^(\w+):", match[1], re.MULTILINE)) == set(type(site).model_fields)


def test_the_shipped_sites_are_valid_and_public() -> None:
    sites = known_sites(load_settings())
    assert sites
    for site in sites.values():
        assert not site.allow_private_addresses
        assert site.obey_robots


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD + "verified: null  # never\n", GOOD + "verified: 2026-11-22  # never\n"),
        (GOOD + "verified: # never\n", GOOD + "verified: 2026-11-22 # never\n"),
        (GOOD + "verified: 2025-01-01\r\n", GOOD + "verified: 2026-11-22\r\n"),
        (GOOD, GOOD + "verified: 2026-11-22\n"),
        (GOOD.rstrip("\n"), GOOD.rstrip("\n") + "\nverified: 2026-11-22\n"),
        ("verified: '2025-01-01'\n" + GOOD, "verified: 2026-11-22\n" + GOOD),
    ],
)
def test_the_date_is_set_and_the_rest_stays(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(text.encode())
    set_verified(path, date(2026, 11, 22))
    assert path.read_bytes().decode() == expected
    assert load_site(path).verified == date(2026, 11, 22)
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_in_another_layout_is_left_alone(tmp_path: Path) -> None:
    path = written(tmp_path, "{name: a, title: b, verified: null, feeds: [https://a.cn/], articles: [https://a.cn/]}\n")
    before = path.read_bytes()
    with pytest.raises(SiteError):
        set_verified(path, date(2026, 11, 22))
    assert path.read_bytes() == before


def test_all_complaints_of_all_files_at_once(tmp_path: Path) -> None:
    written(tmp_path, GOOD.replace("media_type: finance", "media_type: finanse\ndelay: -1"), "a.yaml")
    written(tmp_path, GOOD.replace("name: caijing", "name: b") + "name: b\nfields: {titel: h1}\n", "b.yaml")
    written(tmp_path, GOOD.replace("name: caijing", "name: c"), "c.yaml")
    with pytest.raises(SiteError) as caught:
        load_sites([tmp_path, tmp_path / "nowhere"])
    message = caught.value.message
    assert "3 site files cannot be used" in message
    assert "a.yaml, line 4: media_type: must be one of news, finance," in message
    assert "did you mean finance?" in message
    assert "a.yaml, line 5: delay: " in message
    assert "b.yaml, line 16: name: stands here a second time" in message
    assert "b.yaml, line 17: fields.titel: there is no such field; did you mean title?" in message
    assert "nowhere does not exist" in message
    assert "c.yaml" not in message


def test_secrets_are_not_repeated(tmp_path: Path) -> None:
    text = (
        GOOD
        + "headers: {Authorization: 'opensesame 新'}\ncookies: {session: 'opensesame;'}\nproxies: ['ftp://me:opensesame@a.cn']\n"
    )
    with pytest.raises(SiteError, match=r"headers\.Authorization") as caught:
        load_site(written(tmp_path, text))
    assert "opensesame" not in caught.value.message
    assert len(caught.value.message.splitlines()) == 3

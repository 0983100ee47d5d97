"""rel=canonical: what a page declares, and when it is believed."""

import pytest

from crawler.spiders.article import Doubt, believe, declared_canonical
from yuqing.sites import Rewrite, Site

SITE = Site(
    name="a",
    title="a",
    start_urls=("https://www.a.cn/",),
    articles=(r"https://www\.a\.cn/n/",),
    rewrite=(Rewrite(match=r"https://m\.a\.cn/(.*)", to=r"https://www.a.cn/\1"),),
)


@pytest.mark.parametrize(
    ("text", "declared"),
    [
        ('<link rel="canonical" href="/n/2">', "https://www.a.cn/n/2"),
        ('<base href="https://m.a.cn/n/"><link href=3 rel=canonical>', "https://m.a.cn/n/3"),
        ("<link rel=canonical href='https://[::1/'>", None),
        ("<link rel=canonical>", None),
        ("<p>rel=canonical</p>", None),
        # A page that is JSON, of whatever kind, is no page with links.
        ("{\"html\": \"<link rel='canonical' href='/n/2'>\"}", "https://www.a.cn/n/2"),
        ('"<link rel=canonical"', None),
    ],
)
def test_what_is_declared(text: str, declared: str | None) -> None:
    assert declared_canonical(text, "https://www.a.cn/n/1") == declared


@pytest.mark.timeout(60)
def test_a_page_of_nothing_but_links_is_read_in_no_time() -> None:
    assert declared_canonical("<link " * 2_700_000, "https://www.a.cn/n/1") is None


@pytest.mark.parametrize(
    ("declared", "believed"),
    [
        ("https://www.a.cn/n/2?utm_source=x", "https://www.a.cn/n/2"),
        ("https://m.a.cn/n/2", "https://www.a.cn/n/2"),
        ("https://www.a.cn/n/1", Doubt.DROPS_IDENTITY),
        ("https://www.b.cn/n/1", Doubt.OTHER_HOST),
        ("https://www.a.cn/", Doubt.NO_ARTICLE),
        ("https://www.a.cn:x/", Doubt.NO_ARTICLE),
    ],
)
def test_what_is_believed(declared: str, believed: str | Doubt) -> None:
    assert believe(declared, "https://www.a.cn/n/1?id=7001", SITE) == believed

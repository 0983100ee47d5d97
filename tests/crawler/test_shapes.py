"""Shapes of addresses, as Chinese media have them."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.shapes import frequent_shapes, pattern, shape

# (addresses of one kind, addresses of the same kind that were not seen, others)
KINDS = {
    "date and hex": (
        ["http://a.cn/stock/2026-11-20/doc-0a1b2c3d4e5f.html", "http://a.cn/money/2026-11-19/doc-c12345678901.html"],
        ["https://a.cn/company/2027-01-02/doc-ffffffffffff.html"],
        ["http://a.cn/stock/", "http://a.cn/stock/list_2.html", "http://b.cn/stock/2026-11-20/doc-0a1b2c3d4e5f.html"],
    ),
    "date and mixed": (
        ["https://finance.a.com.cn/2026-11-20/doc-inhvwxy1234567.shtml"],
        ["https://finance.a.com.cn/2026-12-31/doc-imkzenf0000001.shtml"],
        ["https://finance.a.com.cn/2026-11-20/", "https://finance.a.com.cn/doc-inhvwxy1234567.shtml"],
    ),
    "people": (
        [
            "http://finance.a.com.cn/n1/2026/1120/c1004-40012345.html",
            "http://society.a.com.cn/n1/2026/1119/c1008-40012346.html",
        ],
        ["https://it.a.com.cn/n1/2027/0101/c99999-140012345.html"],
        [
            "http://finance.a.com.cn/",
            "http://finance.a.com.cn/GB/70846/index.html",
            "http://a.com.cn.evil.cn/n1/2026/1120/c1-4.html",
        ],
    ),
    "date": (
        ["https://www.a.com/a/20261120/001.htm", "https://www.a.com/a/20261119/017.htm"],
        ["https://www.a.com/a/20270101/2.htm"],
        ["https://www.a.com/a/index_2.htm", "https://www.a.com/a/20261120/"],
    ),
    "parameter": (
        ["https://www.a.com/news?id=123", "https://www.a.com/news?id=4567"],
        ["https://www.a.com/news?id=99999"],
        ["https://www.a.com/news?page=2", "https://www.a.com/news"],
    ),
    "number": (
        ["https://www.a.com/article/123456789", "https://www.a.com/article/123456790"],
        ["https://www.a.com/article/1234567890"],
        ["https://www.a.com/article/12", "https://www.a.com/author/123456789"],
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_pattern_matches_its_kind_and_nothing_else(name: str) -> None:
    seen, unseen, others = KINDS[name]
    expression = pattern(seen, any_word=True)
    for url in seen + unseen:
        assert re.match(expression, url), (expression, url)
    for url in others:
        assert not re.match(expression, url), (expression, url)


def test_shapes_are_readable() -> None:
    urls = [f"https://www.a.cn/news/2026-11-{day}/doc-{day}3456.html" for day in range(10, 15)] + [
        "https://www.a.cn/about/"
    ]
    assert frequent_shapes(urls) == [
        (r"https://www.a.cn/news/\d{4}-\d{2}-\d{2}/doc-\d{6}.html", 5),
        ("https://www.a.cn/about/", 1),
    ]
    assert shape("https://a.cn/V1/0123456789abcdef?q=%E4%B8%AD") == "https://a.cn/V1/[0-9a-f]{16}?q=[^/]+"


PATH = st.lists(
    st.text(string.ascii_letters + string.digits + "-_.~%中", min_size=1, max_size=12), min_size=1, max_size=5
)


@given(PATH, st.sampled_from(["", ".html", ".shtml"]), st.sampled_from(["", "?id=5", "?a=b&c=d-1", "?q=a%20b&c"]))
def test_every_address_matches_its_own_pattern(path: list[str], extension: str, query: str) -> None:
    url = "https://www.a.cn/" + "/".join(path) + extension + query
    for any_word in (False, True):
        assert re.match(pattern([url], any_word=any_word), url)


def test_hosts_below_a_public_suffix_are_named_one_by_one() -> None:
    paths = ["/2026-11-20/doc-1.html", "/2026-11-21/doc-2.html"]
    # Names are registered under a province's domain, as under com.cn.
    for suffix in ("com.cn", "gz.cn"):
        made = pattern([f"http://{name}.{suffix}{path}" for name in ("a", "b") for path in paths])
        assert not re.match(made, f"http://c.{suffix}{paths[0]}") and re.match(made, f"http://b.{suffix}{paths[0]}")
    below = pattern([f"http://{name}.a.gz.cn{path}" for name in ("stock", "bond") for path in paths])
    assert re.match(below, f"http://money.a.gz.cn{paths[0]}")

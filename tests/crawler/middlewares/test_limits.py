"""Patterns of addresses, and paths that grow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.middlewares.limits import MAX_SEGMENTS, grows, pattern


@pytest.mark.parametrize(
    ("url", "general"),
    [
        ("http://a.cn/2026/11/22/doc-1.html", "http://a.cn/{n}/{n}/{n}/doc-{n}.html"),
        ("http://a1.cn:8080/x", "http://a1.cn:8080/x"),
        ("http://a.cn/cal?month=11&year=2026", "http://a.cn/cal?month&year"),
        ("http://a.cn/cal?year=2031&month=2#x", "http://a.cn/cal?month&year"),
        ("http://a.cn/?", "http://a.cn/"),
        ("http://a.cn", "http://a.cn"),
        ("http://a.cn/list?p1=a&p2=b&&", "http://a.cn/list?p{n}&p{n}"),
    ],
)
def test_pattern(url: str, general: str) -> None:
    assert pattern(url) == general


@given(st.text(max_size=60))
def test_a_pattern_of_anything_is_a_pattern_of_itself(text: str) -> None:
    general = pattern(f"http://a.cn/{text}")
    assert pattern(general) == general


@given(st.integers(0, 9999), st.integers(0, 9999), st.text("abc%=", max_size=8))
def test_numbers_and_values_make_no_difference(first: int, second: int, value: str) -> None:
    assert pattern(f"http://a.cn/n/{first}?id={value}") == pattern(f"http://a.cn/n/{second}?id=0")


@pytest.mark.parametrize(
    ("path", "endless"),
    [
        ("/a/a/a", True),
        ("/news/a/b/a/b/a/b/x.html", True),
        ("/x/y/z/x/y/z/x/y/z", True),
        ("/" + "/".join(map(str, range(MAX_SEGMENTS + 1))), True),
        ("/a/a", False),
        ("/2026/11/11/doc-1.html", False),
        ("/news/news/2026/news/1.html", False),
        ("/a/b/a/b/c.html", False),
        ("/", False),
        ("", False),
    ],
)
def test_paths_that_grow(path: str, endless: bool) -> None:
    assert grows(f"http://a.cn{path}") is endless


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=3), st.integers(3, 8))
def test_every_round_is_seen(round_: list[str], times: int) -> None:
    assert grows("http://a.cn/" + "/".join(round_ * times))

"""One page, one address: noise never splits a page in two, and two pages never become one."""

from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler import canonical
from crawler.canonical import (
    canonicalise,
    drops_identity,
    join,
    request_address,
    site_address,
    tracking_parameters,
    url_hash,
)
from yuqing.sites import Site

HOSTS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?(\.[a-z]{2,4}){1,2}", fullmatch=True)
# Ids of pages, as path segments and parameter values: no "/" and no ".", which have a meaning of their own there, and no
# space at an end, which is trimmed from an address as browsers do.
IDS = st.text(
    st.characters(codec="utf-8", exclude_characters="/?#&=.%;\\", exclude_categories=["Cc", "Cs"]), min_size=1
).filter(lambda value: value == value.strip(" "))
# What pages are identified by, somewhere: none of these may ever come on the list.
IDENTITIES = (  # noqa: SIM905  (as a list it would take a page)
    "id p page pn pid aid bid cid did eid fid gid mid nid oid rid sid tid uid vid v t ts f q s wd idx sn sn_id __biz biz docid "
    "newsid newsId news_id article articleId article_id contentid content_id item_id itemid group_id groupid object_id ref "
    "source src type typeid cat catid category channel channelid column columnId node mod action act a c m app lang version "
    "scene code symbol stock secid date day month year time timestamp start offset size num no number key keyword kw name "
    "title tag topic url link share pk_id spu sku fromdate fromid trackid track_id plat_id req_id 频道"
).split()
NAMES = st.sampled_from(IDENTITIES)
LISTED, PREFIXES = tracking_parameters()
NOISE = st.tuples(
    st.one_of(
        st.sampled_from(sorted(LISTED)), st.sampled_from(PREFIXES).flatmap(lambda prefix: st.just(prefix + "x"))
    ).flatmap(lambda name: st.sampled_from([name, name.upper(), name.title()])),
    st.sampled_from(["", "1", "weibo", "a2c.1.2", "%E4%B8%AD", "x=y"]),
)


def address(host: str, segments: list[str], parameters: list[tuple[str, str]]) -> str:
    query = "&".join(f"{name}={value}" for name, value in parameters)
    return f"http://{host}/{'/'.join(segments)}" + (f"?{query}" if query else "")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("HTTP://News.Example.CN:80/a.html#top", "http://news.example.cn/a.html"),
        ("https://example.cn:443", "https://example.cn/"),
        ("https://example.cn:8443/", "https://example.cn:8443/"),
        ("http://user:secret@example.cn/", "http://example.cn/"),
        ("http://example.cn./a", "http://example.cn/a"),
        ("http://example.cn/a/../b/./c/", "http://example.cn/b/c/"),
        ("http://example.cn/a/..", "http://example.cn/"),
        ("http://example.cn/a?b=2&a=1&utm_source=x", "http://example.cn/a?a=1&b=2"),
        ("http://example.cn/a?", "http://example.cn/a"),
        ("http://example.cn/a?a=2&a=1", "http://example.cn/a?a=2&a=1"),
        ("http://example.cn/a?a=&b", "http://example.cn/a?a=&b"),
        ("http://example.cn/%7efoo/%e4%b8%ad", "http://example.cn/~foo/%E4%B8%AD"),
        ("http://example.cn/中文?q=舆情", "http://example.cn/%E4%B8%AD%E6%96%87?q=%E8%88%86%E6%83%85"),
        ("http://example.cn/a%2Fb", "http://example.cn/a%2Fb"),
        ("http://example.cn/a;jsessionid=F00?x=1", "http://example.cn/a?x=1"),
        ("http://example.cn/#/article/7", "http://example.cn/#/article/7"),
        ("http://中国.cn/", "http://xn--fiqs8s.cn/"),
        ("http://[2001:DB8::1]:80/", "http://[2001:db8::1]/"),
        (" http://example.cn/a\n", "http://example.cn/a"),
    ],
)
def test_known_forms(url: str, expected: str) -> None:
    assert canonicalise(url) == expected


@pytest.mark.parametrize("url", ["", "mailto:a@example.cn", "javascript:void(0)", "http://", "/relative", "http://[1/"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        canonicalise(url)


@given(st.text())
def test_idempotent_on_anything(text: str) -> None:
    try:
        once = canonicalise("http://example.cn/" + text)
    except ValueError:
        return
    assert canonicalise(once) == once


@given(HOSTS, st.lists(IDS, max_size=3), st.lists(st.tuples(NAMES, IDS), max_size=3))
def test_idempotent_on_addresses(host: str, segments: list[str], parameters: list[tuple[str, str]]) -> None:
    once = canonicalise(address(host, segments, parameters))
    assert canonicalise(once) == once


@given(HOSTS, st.lists(IDS, max_size=3), st.dictionaries(NAMES, IDS), st.lists(NOISE), st.randoms())
def test_noise_never_splits_a_page(host, segments, parameters, noise, chance) -> None:
    pairs = list(parameters.items())
    plain = canonicalise(address(host, segments, pairs))
    noisy = pairs + noise
    chance.shuffle(noisy)
    url = address(host, segments, noisy).replace(f"http://{host}", f"HTTP://{host.upper()}:80") + "#comments"
    assert canonicalise(url) == plain


@given(HOSTS, st.lists(IDS, min_size=1, max_size=3), st.lists(IDS, min_size=1, max_size=3), NAMES, st.tuples(IDS, IDS))
def test_different_pages_never_merge(host, segments, others, name, values) -> None:
    if segments != others:
        assert canonicalise(address(host, segments, [])) != canonicalise(address(host, others, []))
    if values[0] != values[1]:
        first, second = (canonicalise(address(host, segments, [(name, value)])) for value in values)
        assert first != second


@given(HOSTS, st.dictionaries(NAMES, IDS, min_size=1))
def test_parameters_keep_their_values(host: str, parameters: dict[str, str]) -> None:
    # parse_qsl reads + as a space, the canonical form does not touch it.
    expected = {name: value.replace("+", " ") for name, value in parameters.items()}
    query = urlsplit(canonicalise(address(host, ["a"], list(parameters.items())))).query
    assert dict(parse_qsl(query, keep_blank_values=True)) == expected


def test_a_site_may_keep_a_parameter() -> None:
    assert canonicalise("http://example.cn/?from=7&spm=1", keep_parameters=["from"]) == "http://example.cn/?from=7"


def site(*rules: tuple[str, str], keep: tuple[str, ...] = ()) -> Site:
    rewrite = tuple({"match": match, "to": to} for match, to in rules)
    return Site(
        name="one",
        title="一",
        start_urls=("https://www.example.cn/",),
        articles=("https://www",),
        rewrite=rewrite,
        keep_parameters=keep,
    )


RULES = [
    (r"https?://(?:m|wap|3g)\.example\.cn/a/(\d+)\.shtml", r"https://www.example.cn/article/\1.html"),
    (r"https?://old\.example\.cn/show\?id=(\d+)", r"http://m.example.cn/a/\1.shtml"),
    (r"http://www\.example\.cn/", "https://www.example.cn/"),
]
CIRCLE = [("https?://a\\.cn/", "http://b.cn/"), ("https?://b\\.cn/", "http://a.cn/")]
ENDLESS = [("http://a\\.cn/", "http://b.cn/x/"), ("http://b\\.cn/", "http://a.cn/y/")]


@given(st.integers(min_value=0), st.lists(NOISE), st.sampled_from(["http", "https"]))
def test_other_addresses_of_a_page_are_one(number: int, noise: list[tuple[str, str]], scheme: str) -> None:
    one = site(*RULES)
    noisy = "&".join(f"{name}={value}" for name, value in noise)
    for url in (
        f"{scheme}://m.example.cn/a/{number}.shtml?{noisy}",
        f"{scheme}://WAP.example.cn/a/{number}.shtml#c",
        f"{scheme}://old.example.cn/show?{noisy}&id={number}",
        f"{scheme}://www.example.cn/article/{number}.html?{noisy}",
    ):
        assert site_address(one, url) == f"https://www.example.cn/article/{number}.html"
        assert site_address(one, request_address(one, url)) == site_address(one, url)


@given(
    st.sampled_from([RULES, CIRCLE, ENDLESS, [*CIRCLE, *RULES], []]),
    st.sampled_from(["a.cn", "b.cn", "m.example.cn", "old.example.cn", "www.example.cn"]),
    st.lists(IDS, max_size=3),
    st.lists(st.tuples(NAMES, IDS), max_size=3),
)
def test_identities_are_stable_whatever_the_rules(rules, host, segments, parameters) -> None:
    one = site(*rules)
    once = site_address(one, address(host, segments, parameters))
    assert site_address(one, once) == once


def test_what_is_asked_for_is_rewritten_and_keeps_its_parameters() -> None:
    one = site((r"http://(?:m\.)?example\.cn/", "https://www.example.cn/"))
    assert request_address(one, "http://m.example.cn/a?spm=1&b=2#c") == "https://www.example.cn/a?spm=1&b=2#c"
    assert request_address(one, "https://other.cn/a?spm=1") == "https://other.cn/a?spm=1"
    assert request_address(site(*CIRCLE), "http://a.cn/?spm=1") == "http://a.cn/?spm=1"
    assert site_address(site(keep=("spm",)), "http://a.cn/?spm=1&from=2") == "http://a.cn/?spm=1"


def test_the_list_has_no_identities() -> None:
    names, prefixes = tracking_parameters()
    assert {"spm", "from", "utm_"} <= names | set(prefixes)
    for name in IDENTITIES:
        url = canonicalise(f"http://example.cn/?{name}=1")
        assert url.endswith("=1"), f"{name} identifies pages somewhere and was taken away"
    text = (Path(canonical.__file__).parent / "data" / "tracking_parameters.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert len(lines) == len(set(lines)), "a name stands twice"
    assert not any(line != line.strip().lower() or "*" in line[:-1] for line in lines)
    assert not any(name.startswith(prefixes) for name in names), "a name that a prefix covers already"


def test_join_gives_absolute_addresses_or_nothing() -> None:
    assert join("http://example.cn/a/b.html", " ../c.html ") == "http://example.cn/c.html"
    assert join("http://example.cn/", "//cdn.example.cn/v.mp4") == "http://cdn.example.cn/v.mp4"
    for link in (
        "javascript:void(0)",
        "mailto:x@example.cn",
        "http://[bad",
        "http://a.cn:99999/x",
        "http://./",
        "http://\N{IDEOGRAPHIC FULL STOP}/",
    ):
        assert join("http://example.cn/", link) is None


@pytest.mark.parametrize(
    ("address", "canonical", "drops"),
    [
        ("/detail?id=7", "/detail", True),
        ("/detail?c=news&newsId=7", "/detail?c=news", True),
        ("/detail?p=20261122", "/detail", True),
        ("/detail?k=aZ3-_kd93jdkLs02", "/detail", True),
        ("/detail?id=7&print=1", "/detail?id=7", False),
        ("/detail?print=1", "/detail", False),
        ("/detail?id=7", "/detail/7", False),
        ("/detail?id=7", "/detail?aid=7", False),
        ("/detail", "/detail", False),
        ("/detail?id=7", "/detail?id=7", False),
    ],
)
def test_canonical_addresses_that_all_articles_share(address: str, canonical: str, drops: bool) -> None:
    assert drops_identity(f"http://a.cn{address}", f"http://a.cn{canonical}") is drops


def test_hashes_fit_in_64_bits_and_differ() -> None:
    hashes = {url_hash(f"http://example.cn/{number}") for number in range(10_000)}
    assert len(hashes) == 10_000
    assert all(0 <= hash_ < 2**64 for hash_ in hashes)

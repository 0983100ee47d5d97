"""Times, titles, names and sources in the forms that Chinese pages use."""

from datetime import UTC, datetime

import pytest

from cleaning.metadata import read, read_time

FETCHED = datetime(2024, 6, 1, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ("2024年05月31日 15:20", "2024-05-31T07:20:00+00:00"),
        ("2024-5-3 9:05:07", "2024-05-03T01:05:07+00:00"),
        ("2024/05/31", "2024-05-30T16:00:00+00:00"),
        ("2024.05.31 星期五 下午3时20分", "2024-05-31T07:20:00+00:00"),
        ("2024年5月31日（周五）15：20", "2024-05-31T07:20:00+00:00"),
        ("2024-05-31T15:20:00+08:00", "2024-05-31T07:20:00+00:00"),
        ("2024-05-31T15:20:00.000Z", "2024-05-31T15:20:00+00:00"),
        ("2024-05-31T15:20:00-0500", "2024-05-31T20:20:00+00:00"),
        ("发布于 2023年2月30日，更新于2023年3月1日", "2023-02-28T16:00:00+00:00"),
        ("电话 2024-88-99", None),
        ("1900-01-01", None),
    ],
)
def test_times(shown: str, expected: str | None) -> None:
    found = read_time(shown)
    assert (found.isoformat() if found else None) == expected


def page(body: str, head: str = "<title>标题是这样的_某网</title>") -> str:
    return f"<html><head>{head}</head><body>{body}</body></html>"


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        # What is shown, not the copyright; what is stated, before what is shown; never the future.
        (page("<p>© 2024-01-01 某网 版权所有</p><p>2024-05-30 10:00</p>"), "2024-05-30T02:00:00+00:00"),
        (
            page("<p>2024-05-01</p>", "<meta property='article:published_time' content='2024-05-02T03:00:00Z'>"),
            "2024-05-02T03:00:00+00:00",
        ),
        # A stated day gives way to the same day with a time.
        (page("<p>2024-05-02 11:30</p>", "<meta name='pubdate' content='2024-05-02'>"), "2024-05-02T03:30:00+00:00"),
        (page("<p>活动将于2030年1月1日举行</p><p>2024-05-30 10:00</p>"), "2024-05-30T02:00:00+00:00"),
        (page("<p>没有日期</p>"), None),
    ],
)
def test_publication_time(html: str, expected: str | None) -> None:
    found = read(html, fetched_at=FETCHED).published_at
    assert (found.isoformat() if found else None) == expected


def test_the_listings_hint_comes_first() -> None:
    hint = datetime(2024, 5, 20, 1, 2, tzinfo=UTC)
    assert read(page("<p>2024-05-30 10:00</p>"), hint_published_at=hint, fetched_at=FETCHED).published_at == hint


def test_an_authors_hint_loses_its_label() -> None:
    assert read(page("<p>作者：李明</p>"), hint_author="作者：方未晞").author == "方未晞"


@pytest.mark.parametrize(
    ("title", "heading", "expected"),
    [
        ("远山科技发布新机_手机_蓝鲸网", "远山科技发布新机", "远山科技发布新机"),
        ("远山科技发布新机 - 蓝鲸网", "", "远山科技发布新机"),
        ("蓝鲸网_远山科技今日正式发布首款折叠屏手机", "", "远山科技今日正式发布首款折叠屏手机"),
        ("5G-A 商用一周年：用户怎么说|深度", "5G-A 商用一周年：用户怎么说", "5G-A 商用一周年：用户怎么说"),
        ("更正_财经_每日财经网", "更正", "更正"),
        ("", "只有页内标题", "只有页内标题"),
    ],
)
def test_titles_without_the_site(title: str, heading: str, expected: str) -> None:
    assert read(page(f"<h1>{heading}</h1>", f"<title>{title}</title>")).title == expected


@pytest.mark.parametrize(
    ("line", "author", "source"),
    [
        ("2024-05-31 15:20 来源：每日财经网 作者：李明 责编：王芳", "李明", "每日财经网"),
        ("本报讯（记者 孙晓雯 通讯员 高峰）昨天下午通车", "孙晓雯、高峰", None),
        ("文/城南阿木 2024-03-02", "城南阿木", None),
        ("2023/11/14 記者：許家豪 來源：東岸新聞網", "许家豪", "东岸新闻网"),
        ("稿源：新华社", None, "新华社"),
        ("2025年1月26日 下午6:22 作者 沈亦舟 来源 弧光科技 · 责编 冯野", "沈亦舟", "弧光科技"),
        ("（责任编辑：王芳）", "王芳", None),
        ("记者在现场看到，作者说文章来源于生活", None, None),
    ],
)
def test_names_and_sources(line: str, author: str | None, source: str | None) -> None:
    found = read(page(f"<p>{line}</p>"))
    assert (found.author, found.source) == (author, source)

"""Times, titles, names and sources in the forms that Chinese pages use."""

from datetime import UTC, datetime
from typing import Any

import pytest

from cleaning import extract, metadata
from cleaning.metadata import Metadata
from cleaning.published import read_relative_time, read_time

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
        ("发布日期： 9/17/2004 5:54:13 PM", "2004-09-17T09:54:13+00:00"),
        ("发表时间： 26/02/2022 - 13:48", "2022-02-26T05:48:00+00:00"),
        ("12/01/2004 - 01/01/2005", None),  # a list of archives
        ("电话 2024-88-99", None),
        ("1900-01-01", None),
    ],
)
def test_times(shown: str, expected: str | None) -> None:
    found = read_time(shown)
    assert (found.isoformat() if found else None) == expected


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ("3小时前", "2024-06-01T05:00:00+00:00"),
        ("蓝鲸网 25分钟前", "2024-06-01T07:35:00+00:00"),
        ("半小时前", "2024-06-01T07:30:00+00:00"),
        ("两天前", "2024-05-30T08:00:00+00:00"),
        ("刚刚", "2024-06-01T08:00:00+00:00"),
        ("今天 08:00", "2024-06-01T00:00:00+00:00"),
        ("昨天 08:00", "2024-05-31T00:00:00+00:00"),
        ("前天下午3点20分", "2024-05-30T07:20:00+00:00"),
        ("05-31 18:05", "2024-05-31T10:05:00+00:00"),
        ("12-31 18:05", "2023-12-31T10:05:00+00:00"),  # of last year
        ("5月31日 18:05", "2024-05-31T10:05:00+00:00"),
        ("近3小时前后", None),
        ("刚刚过去的周末", None),
        ("电话 010-12-30 18:05", None),
    ],
)
def test_times_relative_to_the_fetch(shown: str, expected: str | None) -> None:
    found = read_relative_time(shown, FETCHED)
    assert (found.isoformat() if found else None) == expected


def read(html: str, **hints: Any) -> Metadata:
    return metadata.read(extract.read(html), **hints)


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
        # Today's date in the page's head stands above the title, the article's below it.
        (
            page("<div>2024年6月1日 星期六</div><p>频道</p><p>天气</p><h1>标题是这样的</h1><p>2024-05-30 10:00</p>"),
            "2024-05-30T02:00:00+00:00",
        ),
        (page("<h1>标题是这样的</h1><p>蓝鲸网 3小时前</p>"), "2024-06-01T05:00:00+00:00"),
        # A day in the prose is an event's, unless the line is a dateline.
        (
            page(
                "<p>报名日期为2023年11月1日至2023年11月30日，外地考生可以提前函报，所有报名材料须在截止前寄到招生单位，逾期不候。</p>"
            ),
            None,
        ),
        (
            page("<p>【蓝鲸网2024年05月03日报道】" + "新机今天在上海发布，起售价为六千元。" * 9 + "</p>"),
            "2024-05-02T16:00:00+00:00",
        ),
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
        ("远山科技发布新机 蓝鲸网", "远山科技发布新机", "远山科技发布新机"),
        ("欢迎访问蓝鲸网", "远山科技发布新机", "远山科技发布新机"),
    ],
)
def test_titles_without_the_site(title: str, heading: str, expected: str) -> None:
    assert read(page(f"<h1>{heading}</h1>", f"<title>{title}</title>")).title == expected


@pytest.mark.parametrize(
    ("line", "author", "source"),
    [
        ("2004年7月16日08:19 [ 黄宇 ] 来源：[ 国际金融报 ]", "黄宇", "国际金融报"),
        ("东岸商报记者马俊峰/文 受访者供图", "马俊峰", None),
        ("来源: 尹娟", "尹娟", None),
        ("作者: 赵 培：北京物资学院，北京", "赵培", None),
        ("项目明年开工。（袁源）", "袁源", None),
        ('作者： size="20" 来源： size="20"', None, None),
        ("来源：转载", None, None),
        ("据记者透露，工程将延期", None, None),
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


def test_a_name_alone_under_the_title_is_the_author() -> None:
    assert read(page("<h1>标题是这样的</h1><p>赵延东、风笑天</p><p>正文在这里。</p>")).author == "赵延东、风笑天"
    assert read(page("<h1>标题是这样的</h1><p>茉莉花开</p><p>正文在这里。</p>")).author is None

"""The edition: every article of every medium with its address, times, people and reprints.

A pure function of the dataset and the watchlist. Nothing here looks at the clock: the newest article is from shortly before
REFERENCE, the oldest from six weeks earlier.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import Literal

from examples.newsroom.inews import read_samples
from examples.newsroom.recordings import RECORDINGS, Recording
from examples.newsroom.reprints import choose_reprints, edited
from examples.newsroom.selection import Story, drawn, select
from examples.newsroom.watchlist import read_watchlist

MediumName = Literal["finance", "portal", "tech"]
MEDIUM_TITLES: dict[MediumName, str] = {"finance": "岚港财经", "portal": "汀洲新闻网", "tech": "弧光科技"}

BEIJING = timezone(timedelta(hours=8))
REFERENCE = datetime(2025, 3, 3, 9, 0, tzinfo=BEIJING)
WEEKS = 6

CHANNELS: dict[MediumName, dict[str, str]] = {
    "finance": {"stock": "市场", "company": "公司", "money": "民生"},
    "portal": {"society": "社会", "china": "国内", "world": "综合", "culture": "生活"},
    "tech": {"news": "最新"},
}
_CHANNEL_WORDS = {
    "stock": "股 基金 证券 投资 融资 市场 半导体 比特币 收益 楼市 房",
    "company": "公司 品牌 企业 董事 总裁 集团 收购 广告 快递 消费者",
    "money": "",
    "society": "警方 民警 交警 男子 女子 受伤 死亡 报警 事故 法院 嫌疑人",
    "china": "我市 全市 全县 工作 领导 书记 调研 会议 扶贫 学习",
    "world": "",
    "culture": "孩子 家长 学生 老师 景 画 吃 文化 明星 电影 健康",
}
_AUTHORS = [
    "林望舒",
    "周以宁",
    "陈牧野",
    "何青岚",
    "沈亦舟",
    "许知遥",
    "苏晚亭",
    "陆行简",
    "方未晞",
    "江临川",
    "叶初白",
    "顾南乔",
]
_EDITORS = ["李砚", "王沐", "赵岑", "孙越", "钱笙", "吴桐", "郑禾", "冯野"]


@dataclass(frozen=True)
class Article:
    """An article as one medium publishes it."""

    medium: MediumName
    channel: str
    identifier: str
    path: str
    """Its canonical address on the medium, without scheme and host."""
    title: str
    paragraphs: tuple[str, ...]
    published: datetime
    author: str
    editor: str
    source: str
    number: int | None
    """The dataset's number of the text; None for the newsroom's own."""
    reprint_of: str | None = None
    """The original's medium and identifier, as in "finance/0123456789ab"."""
    old_path: str | None = None
    """An address that the medium used earlier; it redirects to `path`."""
    only_old_address_linked: bool = False
    recording: Recording | None = None

    @property
    def text(self) -> str:
        """Title and paragraphs, a line each."""
        return "\n".join((self.title, *self.paragraphs))


@dataclass(frozen=True)
class Edition:
    """All that the newsroom publishes; `articles` newest first."""

    articles: tuple[Article, ...]
    broken: Article
    """The portal's page that is cut in the middle."""

    def of(self, medium: MediumName, channel: str | None = None) -> list[Article]:
        """A medium's articles, newest first, of one channel or of all."""
        return [a for a in self.articles if a.medium == medium and channel in (None, a.channel)]


@cache
def edition() -> Edition:
    """The edition that every start serves; raises DatasetError when the texts are not installed."""
    chosen = select(read_samples(), read_watchlist())
    drafts = [_from_story(medium, story) for medium in CHANNELS for story in getattr(chosen, medium)]
    drafts += [_from_recording(recording) for recording in RECORDINGS]
    drafts += [_reprint(original, medium) for original, medium in choose_reprints(drafts)]
    articles = _with_addresses(drafts)
    articles.sort(key=lambda article: (article.published, article.identifier), reverse=True)
    broken = replace(_from_story("portal", chosen.spare), identifier="700001", path="/a/20250215/700001.shtml")
    return Edition(tuple(articles), broken)


def _from_story(medium: MediumName, story: Story) -> Article:
    return Article(
        medium=medium,
        channel=_channel(medium, story),
        identifier=hashlib.sha256(f"{medium} {story.number}".encode()).hexdigest()[:12],
        path="",
        title=story.title,
        paragraphs=story.paragraphs,
        published=_published(story.number),
        author=_AUTHORS[drawn("author", story.number) % len(_AUTHORS)],
        editor=_EDITORS[drawn("editor", story.number) % len(_EDITORS)],
        source=MEDIUM_TITLES[medium],
        number=story.number,
    )


def _from_recording(recording: Recording) -> Article:
    return Article(
        medium=recording.medium,
        channel=recording.channel,
        identifier=hashlib.sha256(recording.file.encode()).hexdigest()[:12],
        path="",
        title=recording.title,
        paragraphs=recording.paragraphs,
        published=_published(recording.file),
        author=_AUTHORS[drawn("author", recording.file) % len(_AUTHORS)],
        editor=_EDITORS[drawn("editor", recording.file) % len(_EDITORS)],
        source=MEDIUM_TITLES[recording.medium],
        number=None,
        recording=recording,
    )


def _reprint(original: Article, medium: MediumName) -> Article:
    """The same article on another medium some hours later, edited as reprints are."""
    title, paragraphs = edited(original.title, original.paragraphs, original.source, MEDIUM_TITLES[medium])
    published = original.published + timedelta(minutes=95 + drawn("reprint", original.number) % 1600)
    if published.hour < 6:  # the desks sleep at night
        published += timedelta(hours=6)
    story = Story(-1, title, paragraphs)
    return replace(
        original,
        medium=medium,
        channel=_channel(medium, story),
        identifier=hashlib.sha256(f"{medium} {original.number}".encode()).hexdigest()[:12],
        title=title,
        paragraphs=paragraphs,
        published=published,
        editor=_EDITORS[drawn("editor", medium, original.number) % len(_EDITORS)],
        reprint_of=f"{original.medium}/{original.identifier}",
    )


def _with_addresses(drafts: list[Article]) -> list[Article]:
    """Give every draft its address: the portal and the technology medium number theirs in order of publication."""
    ordered = sorted(drafts, key=lambda article: (article.published, article.identifier))
    addressed: list[Article] = []
    counts: dict[MediumName, int] = {"finance": 0, "portal": 0, "tech": 0}
    for article in ordered:
        counts[article.medium] += 1
        serial, day = counts[article.medium], article.published
        if article.medium == "finance":
            path = f"/{article.channel}/{day:%Y-%m-%d}/doc-{article.identifier}.html"
            addressed.append(replace(article, path=path))
        elif article.medium == "tech":
            addressed.append(replace(article, path=f"/p/{20001 + 7 * serial}"))
        else:
            number = 100100 + 13 * serial
            old = f"/html/{day:%Y/%m/%d}/{number}.htm" if serial % 13 == 5 else None
            addressed.append(
                replace(
                    article,
                    path=f"/a/{day:%Y%m%d}/{number}.shtml",
                    old_path=old,
                    only_old_address_linked=old is not None and serial % 26 == 5,
                )
            )
    return addressed


def _channel(medium: MediumName, story: Story) -> str:
    """The channel whose words occur most; the one without words takes what has few of the others'."""

    def score(channel: str) -> int:
        words = _CHANNEL_WORDS.get(channel, "").split()
        return sum((word in story.text) + 2 * (word in story.title) for word in words) if words else 3

    return max(CHANNELS[medium], key=score)


def _published(key: object) -> datetime:
    """A time between 06:00 and 22:59 on a day of the six weeks before REFERENCE."""
    day = REFERENCE - timedelta(days=2 + drawn("day", key) % (WEEKS * 7 - 2))
    minutes = drawn("minute", key) % (17 * 60)
    return day.replace(hour=6 + minutes // 60, minute=minutes % 60, second=drawn("second", key) % 60)

"""Which texts the newsroom publishes, and in which medium.

The choice looks at titles and contents only, never at labels: ordinary prose of ordinary length, no advertisements, nothing
twice; all texts that mention a watched company, then the texts closest to the subject of each medium.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from examples.newsroom.inews import Sample
from examples.newsroom.watchlist import Company

SEED = "newsroom-1"

FINANCE_STORIES = 72
PORTAL_STORIES = 72
TECH_STORIES = 20
"""Every page of the technology medium costs a browser about 0.4 s, so it stays small."""

SHORTEST, LONGEST = 180, 3000
"""Characters of a content: shorter ones are captions, longer ones are mostly lists and reprinted books."""
LEAST_HAN_SHARE = 0.6
LONGEST_SENTENCE = 150
"""Mean characters between two full stops; tables and keyword heaps have none for hundreds."""

_ADVERTISEMENT = re.compile(
    "赌|博彩|威尼斯人|澳门|亚游|水晶宮|彩票|开户|注册领取|体育下载|迅雷|资源|pos机|排名介绍|厂家|批发|来电|点击查看|参考价"
    "|招标|发布猫|黑心|骗子医院|坑人|租赁|收货地址|冷凝锅炉"
)
_PHONE_NUMBER = re.compile(r"(?<!\d)1[3-9]\d[- ]?\d{4}[- ]?\d{4}(?!\d)|(?<!\d)400[- ]?\d{3}[- ]?\d{4}(?!\d)")
_HAN = re.compile(r"[\u4e00-\u9fff]")
_PARAGRAPH_BREAK = re.compile(r"\\n|\n|\u3000\u3000+|\u2003\u2003+")
_SITE_SUFFIX = re.compile(r"(?<=.{6})\s*(?:_| - |\||\.{3}).*$")
_SITE_NAME = re.compile(r"-[^-]{2,8}网$")
_REPEATS_ITSELF = re.compile(r"(.{4,}).*\1")

_FINANCE_WORDS = re.compile(
    "股份|股票|股价|上市|基金|银行|贷款|理财|投资|融资|收购|证券|保险|经济|市场|消费者|企业|公司|亿元|万元|房价"
    "|楼市|业主|涨幅|央行|利率|税|电商|快递|品牌|销售|价格|工商|集团|项目|产业"
)
_TECH_WORDS = re.compile(
    "手机|互联网|芯片|半导体|智能|5g|4g|网络|数据|软件|程序|屏幕|系统|app|云计算|人工智能|机器人|电池|运营商"
    "|通信|技术|科技|病毒|微信|流量|信号|数码|iphone|拍照|处理器"
)


@dataclass(frozen=True)
class Story:
    """A text chosen for the newsroom: the dataset's words, cut into paragraphs."""

    number: int
    title: str
    paragraphs: tuple[str, ...]

    @property
    def text(self) -> str:
        """Title and paragraphs, a line each."""
        return "\n".join((self.title, *self.paragraphs))


@dataclass(frozen=True)
class Selection:
    """The stories of each medium, no story twice."""

    finance: tuple[Story, ...]
    portal: tuple[Story, ...]
    tech: tuple[Story, ...]
    spare: Story
    """One more, for the page that is cut in the middle."""


def select(samples: Iterable[Sample], companies: Iterable[Company]) -> Selection:
    """Choose and share out the stories; the same samples and companies give the same selection."""
    companies = list(companies)
    stories = sorted(without_repetitions(samples), key=lambda story: drawn(story.number))
    watched = [story for story in stories if any(company.is_mentioned(story.text) for company in companies)]
    others = [story for story in stories if story not in watched]

    def publish(subject: re.Pattern[str] | None, count: int, watched_share: int) -> tuple[Story, ...]:
        chosen = _closest(watched, subject, min(watched_share, len(watched)))
        chosen += _closest(others, subject, count - len(chosen))
        for story in chosen:
            (watched if story in watched else others).remove(story)
        return tuple(chosen)

    tech = publish(_TECH_WORDS, TECH_STORIES, 10)
    finance = publish(_FINANCE_WORDS, FINANCE_STORIES, len(watched) // 2)
    portal = publish(None, PORTAL_STORIES, len(watched))
    return Selection(finance, portal, tech, spare=others[0])


def drawn(*key: object) -> int:
    """A number from 0 to 2**32 - 1 that looks random and depends on the key and SEED alone."""
    return int.from_bytes(hashlib.sha256(repr((SEED, *key)).encode()).digest()[:4])


def without_repetitions(samples: Iterable[Sample]) -> list[Story]:
    """The publishable samples as stories, without those that share two long sentences with an earlier one."""
    stories, seen = [], set[str]()
    for sample in samples:
        if not is_publishable(sample):
            continue
        story = Story(sample.number, headline(sample.title), paragraphs(sample.content))
        sentences = {sentence for sentence in re.split(r"[。！？\n]", story.text) if len(sentence) >= 20}
        if len(sentences & seen) < 2:
            stories.append(story)
        seen |= sentences
    return stories


def is_publishable(sample: Sample) -> bool:
    """Whether a text reads like an article that a newsroom would print."""
    content = sample.content
    return (
        SHORTEST <= len(content) <= LONGEST
        and 8 <= len(headline(sample.title)) <= 60
        and len(_HAN.findall(content)) >= LEAST_HAN_SHARE * len(content)
        and content.count("。") * LONGEST_SENTENCE >= len(content)
        and not _ADVERTISEMENT.search(sample.title)
        and not _REPEATS_ITSELF.search(headline(sample.title))
        and not _PHONE_NUMBER.search(content)
    )


def headline(title: str) -> str:
    """The title without the name of the site that it was copied from."""
    return _SITE_NAME.sub("", _SITE_SUFFIX.sub("", " ".join(title.split()))).strip(" ->")


def paragraphs(content: str) -> tuple[str, ...]:
    """The content's own paragraphs; a content without any is cut after every third sentence."""
    blocks = [" ".join(block.split()) for block in _PARAGRAPH_BREAK.split(content)]
    blocks = [block for block in blocks if block]
    if len(blocks) > 1:
        return tuple(blocks)
    sentences = re.findall(r"[^。！？]*[。！？]+[”’」』）]*|[^。！？]+$", blocks[0])
    return tuple("".join(sentences[start : start + 3]).strip() for start in range(0, len(sentences), 3))


def _closest(stories: list[Story], subject: re.Pattern[str] | None, count: int) -> list[Story]:
    """The `count` stories with most different words of the subject, those of the title thrice; among equals the first."""

    def score(story: Story) -> int:
        if subject is None:
            return 0
        return len(set(subject.findall(story.text.lower()))) + 2 * len(set(subject.findall(story.title.lower())))

    return sorted(stories, key=score, reverse=True)[:count]

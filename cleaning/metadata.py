"""Title, publication time, author and source of a page, from its markup and its visible text."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from lxml.html import HtmlElement

from cleaning.extract import Paragraph, paragraphs, parse
from yuqing.text.normalise import to_simplified

# Chinese pages state local time without a zone; China has had one zone and no summer time since 1992.
CHINA = timezone(timedelta(hours=8), "Asia/Shanghai")
EARLIEST_YEAR = 1994  # the first Chinese web pages
# A clock of the site that runs ahead, or a page dated tomorrow morning by its print edition.
TOLERANCE = timedelta(days=1)


@dataclass(frozen=True)
class Metadata:
    """What a page says of itself. published_at is in UTC; a date without a time of day is midnight in China."""

    title: str
    published_at: datetime | None
    author: str | None
    source: str | None


_DATE = re.compile(
    r"(?<!\d)(?P<year>(?:19|20)\d{2})\s*[-/.年]\s*(?P<month>1[0-2]|0?[1-9])\s*[-/.月]\s*(?P<day>3[01]|[12]\d|0?[1-9])(?!\d)\s*日?"
    r"(?:\s*[(（]?\s*(?:星期|周)[一二三四五六日天]\s*[)）]?)?"
    r"(?:[T\s,，]*(?P<half>上午|下午|凌晨|早上|中午|晚上|晚间)?\s*(?P<hour>[01]?\d|2[0-3])\s*[:：时点]\s*(?P<minute>[0-5]?\d)?分?"
    r"(?:\s*[:：]\s*(?P<second>[0-5]\d))?(?:\.\d+)?\s*(?P<zone>Z|[+-]\d{2}:?\d{2})?)?"
)
_AFTERNOON = ("下午", "晚上", "晚间")
# Such a year is the site's, not the article's.
_COPYRIGHT = re.compile(r"©|&copy;|版权所有|Copyright|备案|ICP|All Rights Reserved|许可证|成立于|创刊于", re.IGNORECASE)


def read_time(text: str) -> datetime | None:
    """The first date with an optional time of day in a text, in UTC; Asia/Shanghai unless a zone is stated."""
    for match in _DATE.finditer(text):
        hour = int(match["hour"] or 0)
        if match["half"] in _AFTERNOON and hour < 12:
            hour += 12
        try:
            local = datetime(
                int(match["year"]),
                int(match["month"]),
                int(match["day"]),
                hour,
                int(match["minute"] or 0),
                int(match["second"] or 0),
                tzinfo=_zone(match["zone"]),
            )
        except ValueError:  # 2月30日
            continue
        if local.year >= EARLIEST_YEAR:
            return local.astimezone(UTC)
    return None


def _zone(text: str | None) -> timezone:
    if not text:
        return CHINA
    if text == "Z":
        return UTC
    digits = text[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)


def _content(tree: HtmlElement, names: tuple[str, ...]) -> list[str]:
    found = []
    for meta in tree.iter("meta"):
        name = (meta.get("property") or meta.get("name") or meta.get("itemprop") or "").lower()
        if name in names and (value := (meta.get("content") or "").strip()):
            found.append((names.index(name), value))
    return [value for _, value in sorted(found, key=lambda pair: pair[0])]


def _linked_data(tree: HtmlElement) -> list[dict[str, Any]]:
    """The objects of the page's JSON-LD, with those inside lists and @graph."""
    objects: list[Any] = []
    for script in tree.iter("script"):
        if (script.get("type") or "").lower() == "application/ld+json" and script.text:
            try:
                objects.append(json.loads(script.text, strict=False))
            except (ValueError, RecursionError):
                continue
    found: list[dict[str, Any]] = []
    while objects:
        item = objects.pop(0)
        if isinstance(item, list):
            objects.extend(item)
        elif isinstance(item, dict):
            found.append(item)
            objects.extend([item["@graph"]] if "@graph" in item else [])
    return found


_TIME_NAMES = (
    "article:published_time",
    "datepublished",
    "pubdate",
    "publishdate",
    "publish_time",
    "weibo: article:create_at",
    "og:release_date",
)


def _stated_time(tree: HtmlElement) -> datetime | None:
    """The time that the page's markup states for machines."""
    stated = [str(item["datePublished"]) for item in _linked_data(tree) if item.get("datePublished")]
    stated += _content(tree, _TIME_NAMES)
    stated += [
        value for node in tree.iter("time") if node.get("pubdate") is not None and (value := node.get("datetime"))
    ]
    for text in stated:
        if time := read_time(text):
            return time
    return None


def _shown_time(blocks: list[Paragraph], latest: datetime) -> datetime | None:
    """The first date in the visible text that is not in the future and not the site's copyright."""
    for block in blocks:
        if _COPYRIGHT.search(block.text):
            continue
        time = read_time(block.text)
        if time and time <= latest:
            return time
    return None


def published(
    tree: HtmlElement, blocks: list[Paragraph], hint: datetime | None, fetched_at: datetime | None
) -> datetime | None:
    """When the article appeared, in UTC: what the listing said, else what the markup states, else the first date shown.

    A hint or a statement without a time of day gives way to the same day shown with one. Never later than a day after
    the fetch.
    """
    latest = (fetched_at or datetime.now(UTC)) + TOLERANCE
    shown = _shown_time(blocks, latest)
    for stated in (hint, _stated_time(tree)):
        if stated is None or stated > latest:
            continue
        local = stated.astimezone(CHINA)
        if shown and (local.hour, local.minute) == (0, 0) and shown.astimezone(CHINA).date() == local.date():
            return shown
        return stated
    return shown


_TITLE_NAMES = ("og:title", "twitter:title", "articletitle")
_SEPARATORS = re.compile(r"\s*(?:[|｜]|_+|\s[-–—·]+\s|[—–]{1,2}|-(?=[^-]{2,12}$)|>>|>|»)\s*")
_MAXIMUM_TITLE = 120


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _comparable(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).lower()


def title(tree: HtmlElement, hint: str | None) -> str:
    """The article's title without the site's name.

    A heading that stands in <title> is the title (sites put their names around it); else <title> up to its first
    separator, unless what follows is longer; else the listing's hint.
    """
    page = _spaced(tree.findtext(".//title") or "")
    candidates = _content(tree, _TITLE_NAMES)
    candidates += [_spaced(heading.text_content()) for name in ("h1", "h2") for heading in tree.iter(name)]
    if hint:
        candidates.insert(0, _spaced(hint))
    known = _comparable(page)
    for candidate in candidates:
        short = _without_site(candidate)
        found = known.find(_comparable(short))
        # A heading such as 新闻 may stand anywhere in <title>; a short one counts only at its start.
        if short and len(short) <= _MAXIMUM_TITLE and (found == 0 or (found > 0 and len(short) >= 4)):
            return short
    if page:
        return _without_site(page)[:_MAXIMUM_TITLE]
    return next((_without_site(c)[:_MAXIMUM_TITLE] for c in candidates if c), "")


def _without_site(text: str) -> str:
    parts = [part for part in _SEPARATORS.split(text) if part.strip()]
    if not parts:
        return text
    # "新浪网_标题" exists too: the longest part is the title, the first of equally long ones.
    longest = max(parts, key=len)
    return parts[0].strip() if len(parts[0]) >= len(longest) / 2 else longest.strip()


# A label with a colon or a slash announces a name of any form; 记者 also stands directly before a Chinese name.
_STOP = r"\s,，、;；|｜:：()（）\[\]【】<>《》/／"
_LABELLED = (
    r"(?<![\u4e00-\u9fff])(?:{})\s*[:：/／]\s*(?P<names>[^{stop}]{{2,20}}(?:[ 、，,　]+[^{stop}]{{2,20}}){{0,3}})"
)
_BYLINES = (
    re.compile(_LABELLED.format("作\\s*者|撰文|撰稿|文", stop=_STOP)),
    re.compile(
        r"(?:记者|通讯员)\s*[:：]?\s*(?P<names>[\u4e00-\u9fff·]{2,4}"
        r"(?:[ 、，,　]+(?:通讯员|实习生|记者)?[ 　]*[\u4e00-\u9fff·]{2,4}){0,3})(?=[" + _STOP + r"]|$)"
    ),
    re.compile(_LABELLED.format("楼主|博主|发表[者人]?|发布[者人]", stop=_STOP)),
    re.compile(_LABELLED.format("责任?编辑|责编|编辑", stop=_STOP)),
)
_ROLES = re.compile(r"^(?:通讯员|实习生|实习记者|本报记者|记者|见习记者)$")
_NOT_A_NAME = re.compile(
    r"来源|编辑|责编|发布|日期|时间|浏览|阅读|点击|评论|字体|字号|关注|收藏|分享|佚名|匿名|未知|不详|^admin|管理员|本站|原创|网络|转载|获悉|"
    r"了解|采访|发现|看到|来到|注意|提问|查询|走访|联系|报道|科技|公司|^(?:从|在|昨|今|近|日前|问|团|站|会)|\d{4}|=",
    re.IGNORECASE,
)
_LABEL = re.compile(r"^\s*(?:作\s*者|记者|撰文|文|编辑|责编)\s*[:：/／]\s*")
_SPACED_LABEL = re.compile(r"(作者|来源|责编|编辑|记者)\s+")
_MAXIMUM_FURTHER_NAME = 4  # after the first name only plain Chinese names: what follows may be a label or the medium
_SOURCE = re.compile(
    r"(?:文章|信息|新闻|稿件|本文|消息)?(?:来\s*源|稿\s*源|转自|出处)\s*(?:于|自)?\s*[:：]\s*[《「]?(?P<source>[^\s|｜,，。;；)）》」\[\]【】:：]{2,20})"
)
_NEXT_LABEL = re.compile(r"(?:作者|编辑|责编|记者|责任编辑|时间|日期|发布|浏览|点击|阅读|字号|评论|\d{4}[-年/]).*$")
_ATTRIBUTION_CHARACTERS = 120  # a line that names author and source is short; longer ones are prose
_EDGE_CHARACTERS = 40


def author(tree: HtmlElement, lines: list[str], hint: str | None) -> str | None:
    """The people who wrote it, joined by "、"; the editor when only an editor is named; None when nobody is."""
    if hint and (names := _names(_LABEL.sub("", to_simplified(hint)))):
        return names
    for item in _linked_data(tree):
        people = item.get("author")
        people = people if isinstance(people, list) else [people]
        named = [str(p.get("name")) if isinstance(p, dict) else p for p in people if p]
        if names := _names("、".join(name for name in named if isinstance(name, str))):
            return names
    for pattern in _BYLINES:
        for line in lines:
            for match in pattern.finditer(line):
                if names := _names(match["names"]):
                    return names
    return next((names for value in _content(tree, ("author", "article:author")) if (names := _names(value))), None)


def attributions(blocks: list[Paragraph]) -> list[str]:
    """Where names stand, in simplified characters: all of a short line, of a long one the beginning and the end.

    (本报讯（记者 …） … （编辑：…）)
    """
    # The whole page at once: converting is length-preserving, and one search over a page is cheaper than one a line.
    simplified = to_simplified("\n".join(block.text for block in blocks)).split("\n")
    return [_attribution(line) for line in simplified]


def _attribution(line: str) -> str:
    if len(line) <= _ATTRIBUTION_CHARACTERS:
        # "2025年1月26日 作者 沈亦舟 来源 弧光科技": beside a date a space does for a colon.
        return _SPACED_LABEL.sub(r"\1：", line) if _DATE.search(line) else line
    return f"{line[:_EDGE_CHARACTERS]} {line[-_EDGE_CHARACTERS:]}"


def _names(text: str) -> str | None:
    kept: list[str] = []
    for name in re.split(r"[\s、，,;；/／]+", text.strip()):
        if _ROLES.match(name):
            continue
        if not 2 <= len(name) <= (_MAXIMUM_FURTHER_NAME if kept else 20) or _NOT_A_NAME.search(name):
            break
        kept.append(name)
    return "、".join(dict.fromkeys(kept)) or None


def source(tree: HtmlElement, lines: list[str]) -> str | None:
    """The medium that the article says it comes from (来源), which is a reprint's origin."""
    for line in lines:
        if match := _SOURCE.search(line):
            name = _NEXT_LABEL.sub("", match["source"]).strip("-—_·")
            if len(name) >= 2:
                return name
    return next(
        (value for value in _content(tree, ("source", "mediaid", "og:article:source")) if len(value) <= 20), None
    )


def read(
    html: str,
    *,
    hint_title: str | None = None,
    hint_author: str | None = None,
    hint_published_at: datetime | None = None,
    fetched_at: datetime | None = None,
) -> Metadata:
    """All of a page's metadata; hints come from the listing that led to it. Raises ValueError for an empty page."""
    tree = parse(html)
    blocks = paragraphs(tree)
    lines = attributions(blocks)
    return Metadata(
        title=title(tree, hint_title),
        published_at=published(tree, blocks, hint_published_at, fetched_at),
        author=author(tree, lines, hint_author),
        source=source(tree, lines),
    )

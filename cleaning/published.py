"""When an article appeared: absolute and relative times, from the listing, the markup and the visible text."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

from cleaning.extract import DATELINE_LENGTH, Page, Paragraph
from cleaning.markup import Markup

# Chinese pages state local time without a zone; China has had one zone and no summer time since 1992.
CHINA = timezone(timedelta(hours=8), "Asia/Shanghai")
EARLIEST_YEAR = 1994  # the first Chinese web pages
# A clock of the site that runs ahead, or a page dated tomorrow morning by its print edition.
TOLERANCE = timedelta(days=1)
PROSE_LENGTH = 40  # from which a line with commas is prose, whose dates are those of events
_PROSE_MARK = re.compile("[，。；]")
_BEFORE_ARTICLE = 12  # blocks between a title and its article: dateline, share buttons, summary, a picture's caption
_AFTER_ARTICLE = 6
_ABOVE_TITLE = 2  # forums put a post's time above its title

_HALVES = "上午|下午|凌晨|早上|早晨|中午|晚上|晚间|AM|PM"
_CLOCK = (
    rf"(?P<half>{_HALVES})?\s*(?P<hour>[01]?\d|2[0-3])\s*[:：时点]\s*(?P<minute>[0-5]?\d)?分?(?:\s*[:：]\s*(?P<second>[0-5]\d))?"
    r"(?:\.\d+)?\s*(?P<after>[AP]M)?\s*(?P<zone>Z|[+-]\d{2}:?\d{2})?"
)
_WEEKDAY = r"(?:\s*[(（]?\s*(?:星期|周)[一二三四五六日天]\s*[)）]?)?"
_MONTH, _DAY = "(?P<month>1[0-2]|0?[1-9])", "(?P<day>3[01]|[12]\\d|0?[1-9])"
_DATE = re.compile(
    rf"(?<!\d)(?P<year>(?:19|20)\d{{2}})\s*(?:年|(?P<separator>[-/.]))\s*{_MONTH}\s*(?(separator)(?P=separator)|月)\s*{_DAY}(?!\d)\s*日?"
    rf"{_WEEKDAY}(?:[T\s,，]*{_CLOCK})?",
    re.IGNORECASE,
)
# 9/17/2004 5:54:13 AM, as servers with American settings write it; a day beyond 12 shows the other order. Without a time
# of day such figures are a list of archives more often than a date.
_SLASHED = re.compile(
    rf"(?<!\d)(?P<one>\d{{1,2}})/(?P<two>\d{{1,2}})/(?P<year>(?:19|20)\d{{2}})[\s,-]+{_CLOCK}", re.IGNORECASE
)
# 06-03 18:05 and 6月3日 18:05: the year is that of the fetch, or the one before.
_YEARLESS = re.compile(
    rf"(?<![\d/.年-])(?:{_MONTH}\s*月\s*{_DAY}\s*日|(?P<month2>1[0-2]|0[1-9])-(?P<day2>3[01]|[0-2]\d))\s+{_CLOCK}"
)
_AGO = re.compile(
    r"(?<![\d第近])(?P<count>\d{1,3}|半|[一二两三四五六七八九十])\s*个?\s*(?P<unit>秒钟?|分钟|小时|天|日|周|星期)(?:之前|以前|前)"
)
_NAMED_DAY = re.compile(rf"(?P<name>今天|昨天|前天)\s*{_CLOCK}")
_JUST_NOW = re.compile(r"(?<![\u4e00-\u9fff])刚刚(?![\u4e00-\u9fff])")
_UNITS = {"秒": 1, "分": 60, "小": 3600, "天": 86400, "日": 86400, "周": 604800, "星": 604800}
_NUMERALS = {"半": 0.5, "两": 2.0, **{name: float(value) for value, name in enumerate("一二三四五六七八九十", 1)}}
_AFTERNOON = ("下午", "晚上", "晚间", "PM")
# Such a year is the site's, not the article's.
_COPYRIGHT = re.compile(
    r"©|&copy;|版权所有|Copyright|备案|ICP|All Rights Reserved|许可证|成立于|创刊于|建站", re.IGNORECASE
)
# "【看中国2005年07月03日报道】", "新华社北京2005年6月3日电": a dateline at the head of the prose.
_IN_PROSE = re.compile(r"^.{0,40}?(?:19|20)\d{2}\s*[年/.-]\s*\d{1,2}\s*[月/.-]\s*\d{1,2}\s*日?\s*(?:电|讯|报道|消息)")


def read_time(text: str) -> datetime | None:
    """The first date with an optional time of day in a text, in UTC; Asia/Shanghai unless a zone is stated."""
    for match in _DATE.finditer(text):
        if time := _moment(match, int(match["year"]), int(match["month"]), int(match["day"])):
            return time
    for match in _SLASHED.finditer(text):
        one, two = int(match["one"]), int(match["two"])
        month, day = (one, two) if one <= 12 else (two, one)
        if time := _moment(match, int(match["year"]), month, day):
            return time
    return None


def read_relative_time(text: str, fetched_at: datetime) -> datetime | None:
    """A time that a page states against the moment at which it was served (3小时前, 昨天 08:00, 06-03 18:05), in UTC."""
    local = fetched_at.astimezone(CHINA)
    if match := _NAMED_DAY.search(text):
        day = local.date() - timedelta(days=("今天", "昨天", "前天").index(match["name"]))
        return _moment(match, day.year, day.month, day.day)
    if match := _AGO.search(text):
        count = _NUMERALS.get(match["count"]) or float(match["count"])
        return fetched_at.astimezone(UTC) - timedelta(seconds=count * _UNITS[match["unit"][0]])
    if match := _YEARLESS.search(text):
        month, day_of_month = int(match["month"] or match["month2"]), int(match["day"] or match["day2"])
        for year in (local.year, local.year - 1):
            time = _moment(match, year, month, day_of_month)
            if time and time <= fetched_at + TOLERANCE:
                return time
    return fetched_at.astimezone(UTC) if _JUST_NOW.search(text) else None


def _moment(match: re.Match[str], year: int, month: int, day: int) -> datetime | None:
    hour = int(match["hour"] or 0)
    half = (match["half"] or match["after"] or "").upper()
    if half in _AFTERNOON and hour < 12:
        hour += 12
    elif half == "AM" and hour == 12:
        hour = 0
    try:
        local = datetime(
            year, month, day, hour, int(match["minute"] or 0), int(match["second"] or 0), tzinfo=_zone(match["zone"])
        )
        return local.astimezone(UTC) if year >= EARLIEST_YEAR else None
    except (ValueError, OverflowError):  # 2月30日
        return None


def _zone(text: str | None) -> timezone:
    if not text:
        return CHINA
    if text.upper() == "Z":
        return UTC
    digits = text[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)


# fmt: off
_TIME_NAMES = (
    "article:published_time", "og:published_time", "bytedance:published_time", "datepublished", "pubdate", "publishdate",
    "publish_time",
    "_pubtime", "apub:time", "weibo: article:create_at", "og:release_date", "citation_date", "citation_publication_date", "dc.date",
)
# fmt: on


def _stated_times(markup: Markup) -> list[datetime]:
    """The times that the page's markup states for machines, the surest first."""
    stated = [str(item["datePublished"]) for item in markup.linked_data if item.get("datePublished")]
    stated += markup.stated(_TIME_NAMES)
    stated += markup.times[:1]  # further ones belong to comments and related articles
    return [time for text in stated if (time := read_time(text))]


def _shown_time(blocks: Sequence[Paragraph], latest: datetime, fetched_at: datetime | None) -> datetime | None:
    """The first date in datelines that is not in the future and not the site's copyright."""
    for block in blocks:
        if _COPYRIGHT.search(block.text) or (_is_prose(block.text) and not _IN_PROSE.match(block.text)):
            continue
        text = block.spaced
        time = read_time(text)
        if time is None and fetched_at and len(text) <= DATELINE_LENGTH // 2:
            time = read_relative_time(text, fetched_at)
        if time and time <= latest:
            return time
    return None


def _is_prose(text: str) -> bool:
    return len(text) > DATELINE_LENGTH or (len(text) > PROSE_LENGTH and _PROSE_MARK.search(text) is not None)


def published(
    page: Page, markup: Markup, title_at: int | None, hint: datetime | None, fetched_at: datetime | None
) -> datetime | None:
    """When the article appeared, in UTC: what the listing said, else what the markup states, else the first date shown.

    Shown dates are looked for from the title (block `title_at`) to a little below the article first: above the title
    stands today's date. A hint or a statement without a time of day gives way to the same day shown with one. Never
    later than TOLERANCE after the fetch.
    """
    latest = (fetched_at or datetime.now(UTC)) + TOLERANCE
    begin = max(0, page.article.start - _BEFORE_ARTICLE if title_at is None else title_at - _ABOVE_TITLE)
    near, rest = page.blocks[begin : page.article.stop + _AFTER_ARTICLE], page.blocks[:begin]
    shown = _shown_time(near, latest, fetched_at) or _shown_time(rest, latest, None)
    for stated in (hint, *_stated_times(markup)):
        if stated is None or stated > latest:
            continue
        local = stated.astimezone(CHINA)
        if shown and (local.hour, local.minute) == (0, 0) and shown.astimezone(CHINA).date() == local.date():
            return shown
        return stated
    return shown

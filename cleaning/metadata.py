"""Title, publication time, author and source of a page, from its markup and its visible text."""

import re
from dataclasses import dataclass
from datetime import datetime

from cleaning.boilerplate import is_boilerplate
from cleaning.bylines import author, source
from cleaning.extract import Page
from cleaning.markup import Markup, read_markup, spaced
from cleaning.published import published


@dataclass(frozen=True)
class Metadata:
    """What a page says of itself. published_at is in UTC; a date without a time of day is midnight in China."""

    title: str
    published_at: datetime | None
    author: str | None
    source: str | None


_TITLE_NAMES = ("og:title", "twitter:title", "articletitle", "citation_title")
_SEPARATORS = re.compile(
    r"\s*(?:[|｜]|_+|\s[-–—·]+\s|[—–]{1,2}(?=[^—–]{2,12}(?:网|报|台|频道|新闻|中心|论坛|在线|财经)$)|-{2,}|-(?=[^-]{2,12}$)|-$|>>|>|»)\s*"
)
_MAXIMUM_TITLE = 120
_SHORTEST_LINE = 6  # a visible line that short may be a channel's name
# A <title> that names the site and nothing else.
_SITE_ALONE = re.compile(
    r"(?:网|网站|门户|中心|社区|论坛|在线|首页|主页|博客|频道|欢迎.*|谢谢.*)[〗】》」!！]?$|^(?:无标题|Untitled|新闻|正文|显示|详情).{0,4}$",
    re.IGNORECASE,
)
_ENDS_A_SENTENCE = re.compile("[。；，：:;,]$")
_LONGEST_FIRST_LINE = 40
_LINES_AROUND = 3


def _comparable(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).lower()


def title(page: Page, markup: Markup, hint: str | None) -> tuple[str, int | None]:
    """The article's title without the site's name, and the block where it stands above the article.

    A heading that stands in <title> is the title (sites put their names around it), or the longest visible line that
    <title> begins with; else <title> up to its first separator, unless what follows is longer. Where <title> names
    only the site: the listing's hint, a heading, or the short line that opens the article.
    """
    known = _comparable(markup.title)
    candidates = [*([spaced(hint)] if hint else []), *markup.stated(_TITLE_NAMES)]
    # The longest first: the site's name may be a heading, too, and stands in <title>.
    headings = sorted(markup.headings, key=len, reverse=True)
    for candidate in (*candidates, *headings):
        # A heading that is only a part of <title> has no site's name of its own.
        whole = candidate in headings and len(_comparable(candidate)) < len(known)
        short = candidate if whole else _without_site(candidate)
        found = known.find(_comparable(short))
        # A heading such as 新闻 may stand anywhere in <title>; a short one counts only at its start.
        if short and len(short) <= _MAXIMUM_TITLE and (found == 0 or (found > 0 and len(short) >= 4)):
            return short, _place(page, short)
    above = [block.text for block in page.blocks[: page.article.start + _LINES_AROUND] if _begins(known, block.text)]
    if above:
        line = max(above, key=len)
        return line, _place(page, line)
    short = _without_site(markup.title)[:_MAXIMUM_TITLE]
    if not short or _SITE_ALONE.search(short):
        short = (
            next((_without_site(c)[:_MAXIMUM_TITLE] for c in (*candidates, *headings) if c), None)
            or _first_line(page)
            or short
        )
    return short, _place(page, short)


def _begins(known: str, line: str) -> bool:
    comparable = _comparable(line)
    return len(comparable) >= _SHORTEST_LINE and len(line) <= _MAXIMUM_TITLE and known.startswith(comparable)


def _first_line(page: Page) -> str | None:
    """A short line that is no sentence and opens the article or stands just above it."""
    opening = [block for block in page.blocks[page.article][:_LINES_AROUND] if not is_boilerplate(block.text)]
    for block in (*opening[:1], *reversed(page.blocks[: page.article.start][-_LINES_AROUND:])):
        short = 4 <= len(block.text) <= _LONGEST_FIRST_LINE and not _ENDS_A_SENTENCE.search(block.text)
        if short and not block.link_characters and not is_boilerplate(block.text):
            return block.text
    return None


def _place(page: Page, line: str) -> int | None:
    wanted = _comparable(line)
    if not wanted:
        return None
    places = [n for n, block in enumerate(page.blocks[: page.article.stop]) if _comparable(block.text) == wanted]
    above = [place for place in places if place < page.article.start + _LINES_AROUND]
    return above[-1] if above else next(iter(places), None)


def _without_site(text: str) -> str:
    parts = [part for part in _SEPARATORS.split(text) if part.strip()]
    if not parts:
        return text
    # "新浪网_标题" exists too: the longest part is the title, the first of equally long ones.
    longest = max(parts, key=len)
    return parts[0].strip() if len(parts[0]) >= len(longest) / 2 else longest.strip()


def read(
    page: Page,
    *,
    hint_title: str | None = None,
    hint_author: str | None = None,
    hint_published_at: datetime | None = None,
    fetched_at: datetime | None = None,
) -> Metadata:
    """All of a page's metadata; hints come from the listing that led to it."""
    markup = read_markup(page.tree)
    found, title_at = title(page, markup, hint_title)
    return Metadata(
        title=found,
        published_at=published(page, markup, title_at, hint_published_at, fetched_at),
        author=author(page, markup, title_at, hint_author),
        source=source(page, markup),
    )

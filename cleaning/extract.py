"""The main text of a page: the element in which prose outweighs links the most, found in one walk over the tree."""

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import lxml.html
from cssselect import HTMLTranslator, SelectorError
from lxml.html import HtmlElement

from cleaning.boilerplate import ends_article, is_boilerplate, without_editor
from cleaning.images import Picture, picture

# Under this many characters the libraries are asked, too: captions and pages whose markup misleads. A flash has 60 and more.
FALLBACK_BELOW = 60

# A block whose text is mostly links is navigation; a paragraph of an article with many names linked stays below this.
LINK_SHARE = 0.6

# Unclosed tables put the navigation into the article's own cell; then a run of blocks, whatever their elements, is worth
# this much more than the best element.
RUN_ADVANTAGE = 1.3

# What the markup puts beside the article is the article when it is worth so much more: the names were misleading.
ASIDE_ADVANTAGE = 2

# A form with less prose is for comments, a search or a login; ASP.NET pages stand in a form as a whole.
FORM_PROSE = 300

_SENTENCE = re.compile("[，。！？；,.!?;]")
_PROSE = re.compile(r"[，。！？；…]|[,.!?;](?:\s|$)")
_FULL_STOPS = ("。", "！", "？", "”")

# fmt: off
_BLOCKS = frozenset((
    "address", "article", "aside", "blockquote", "body", "br", "center", "dd", "div", "dl", "dt", "fieldset", "figcaption",
    "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre",
    "section", "table", "tbody", "td", "th", "thead", "tr", "ul",
))
_SILENT = frozenset((
    "script", "style", "noscript", "template", "textarea", "select", "option", "button", "iframe", "object", "svg", "math", "head",
    "title",
))
_ASIDE_TAGS = frozenset(("nav", "aside", "footer"))
# fmt: on
# Words of class and id names, in the English and pinyin of Chinese sites: of readers' words, which are never the article,
# and of what stands beside it.
_READERS_NAMES = re.compile(
    "(?<![a-z])(?:comments?|commentlist|reply|replies|pinglun|gentie|related|relative|xiangguan|recommend(?:s|ed)?|tuijian)(?![a-z])"
)
_ASIDE_NAMES = re.compile(
    "(?<![a-z])(?:side(?:bar)?|foot(?:er)?|relations?|hot(?:news|list)?|rank(?:ing)?|shares?|bdsharebuttonbox|nav(?:bar|igation)?|menu|"
    "breadcrumbs?|crumbs?|copyrights?|disclaimer|login|advertisements?|adverts?|ads?|banner|popup|modal|subscribe|qr(?:code)?|"
    "erweima|ewm|tags?|pager|pagination|toolbar|statement|shengming|guanggao)(?![a-z])"
)
_HIDDEN = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_STAMP = re.compile(r"\d{2,4}\s*[-/.年]\s*\d{1,2}\s*[-/.月]\s*\d{1,4}.{0,6}?\d{1,2}[:：]\d{2}")
_STAMP_LENGTH = 80
_POSTED = re.compile("楼|樓|发表|發表|张贴|發佈|发布|回复|回覆|回帖|评论|評論|引用|阅读|posted", re.IGNORECASE)
_LEADING_DATE = re.compile(
    r"(?:19|20)\d{2}\s*[-/.年]\s*\d{1,2}\s*[-/.月]\s*\d{1,2}|\d{1,2}[-/月]\d{1,2}日?\s+\d{1,2}[:：]\d{2}"
)

DATELINE_LENGTH = 120  # what names date, author and source is short; longer blocks are prose


@dataclass
class Paragraph:
    """A block of text, how many of its characters are inside links, and whether its markup puts it beside the article (`aside`)
    or among the readers' words (`readers`).

    `place` is the tag and class of the element that holds it: what repeats for each post of a thread. `parts` are its
    inline elements one by one, in datelines: their style parts them on the screen, not their text.
    """

    text: str
    link_characters: int
    aside: bool = False
    readers: bool = False
    place: str = ""
    parts: tuple[str, ...] = ()

    @property
    def spaced(self) -> str:
        """The text with a space between the parts."""
        return " ".join(self.parts) or self.text

    @property
    def link_share(self) -> float:
        """Share of the characters that are inside links, in [0, 1]."""
        return self.link_characters / max(1, len(self.text))


@dataclass
class Page:
    """A tree and its visible text in reading order; `article` is the range of the blocks that are likeliest the article.

    `pictures` are those that do not stand beside it or among readers' words, `framed` the range of those in the article's element.
    """

    tree: HtmlElement
    blocks: list[Paragraph]
    article: slice
    pictures: list[Picture]
    framed: slice


def parse(html: str) -> HtmlElement:
    """A tree of the page. Raises ValueError for a page without any element."""
    parser = lxml.html.HTMLParser(encoding="utf-8", huge_tree=False, remove_comments=True, remove_pis=True)
    # As bytes: lxml refuses text that declares an encoding, and NUL bytes would end the page early.
    data = html.replace("\x00", "").encode("utf-8", "replace")
    try:
        tree = lxml.html.document_fromstring(data, parser=parser)
    except (lxml.etree.ParserError, lxml.etree.XMLSyntaxError) as error:
        raise ValueError(f"the page cannot be parsed: {error}") from None
    assert isinstance(tree, HtmlElement)
    return tree


def read(html: str) -> Page:
    """Parse a page. Raises ValueError for one without any element."""
    return walk(parse(html))


def walk(tree: HtmlElement) -> Page:
    """One walk over a tree: its blocks, and the element whose blocks are worth most together (see `_worth`).

    Iterative: pages may be nested ten thousand deep.
    """
    blocks: list[Paragraph] = []
    pieces: list[str] = []
    linked = in_link = silent = asides = readers = 0
    # The open elements, where their blocks and pictures begin, and whether they are aside and readers'.
    stack: list[tuple[HtmlElement, int, int, bool, bool]] = []
    spans: list[tuple[int, int]] = []
    pictures: list[Picture] = []
    frames: dict[
        tuple[int, int], slice
    ] = {}  # of elements with the same blocks the outermost: a lead's picture has no text

    def close() -> None:
        nonlocal linked
        text = " ".join("".join(pieces).split())
        if text:
            place = stack[-1][0] if stack else tree
            parts: tuple[str, ...] = ()
            if len(pieces) > 1 and len(text) <= DATELINE_LENGTH:
                parts = tuple(piece for part in pieces if (piece := " ".join(part.split())))
            blocks.append(
                Paragraph(text, linked, asides > 0, readers > 0, f"{place.tag} {place.get('class') or ''}", parts)
            )
        pieces.clear()
        linked = 0

    for event, element in lxml.etree.iterwalk(tree, events=("start", "end")):
        tag = element.tag if isinstance(element.tag, str) else ""
        is_block = tag in _BLOCKS
        if is_block and not silent and pieces:
            close()
        if event == "start":
            if is_block:
                beside, by_readers = _kind(element, tag)
                stack.append((element, len(blocks), len(pictures), beside, by_readers))
                asides += beside
                readers += by_readers
            silent += tag in _SILENT
            in_link += tag == "a"
            if tag == "img" and not (silent or asides or readers) and (found := picture(element, len(blocks))):
                pictures.append(found)
            text = element.text
        else:
            if is_block:
                _, begin, first_picture, beside, by_readers = stack.pop()
                asides -= beside
                readers -= by_readers
                if len(blocks) > begin:
                    spans.append((begin, len(blocks)))
                    frames[spans[-1]] = slice(first_picture, len(pictures))
                    if tag == "form" and sum(map(_worth, blocks[begin:])) < FORM_PROSE:
                        for block in blocks[begin:]:
                            block.aside = True
            silent -= tag in _SILENT
            in_link -= tag == "a"
            text = element.tail if element is not tree else None
        if text and not silent:
            pieces.append(text)
            if in_link:
                linked += len("".join(text.split()))
    close()
    article = _most_prose(blocks, spans)
    inside = [n for n, found in enumerate(pictures) if article.start < found.block < article.stop]
    run = slice(inside[0], inside[-1] + 1) if inside else slice(0, 0)
    return Page(tree, blocks, article, pictures, frames.get((article.start, article.stop), run))


def _kind(element: HtmlElement, tag: str) -> tuple[bool, bool]:
    """(beside the article, among the readers' words), by an element's own markup."""
    names = f"{element.get('class') or ''} {element.get('id') or ''}".lower()
    named = len(names) > 1 and tag != "body"
    beside = tag in _ASIDE_TAGS or (named and _ASIDE_NAMES.search(names) is not None)
    hidden = element.get("hidden") is not None or _HIDDEN.search(element.get("style") or "") is not None
    return beside or hidden, named and _READERS_NAMES.search(names) is not None


def _most_prose(blocks: Sequence[Paragraph], spans: list[tuple[int, int]]) -> slice:
    """The innermost of the elements whose blocks are worth most together, or the run of blocks that is worth far more."""
    best, most = slice(0, len(blocks)), 0
    for with_asides in (False, True):
        worths = [0 if block.readers or (block.aside and not with_asides) else _worth(block) for block in blocks]
        totals = [0, *accumulate(worths)]
        worth, length, begin = max(
            ((totals[end] - totals[begin], begin - end, begin) for begin, end in spans), default=(0, 0, 0)
        )
        found = slice(begin, begin - length)
        run, worth_of_run = _best_run(worths)
        if worth_of_run > RUN_ADVANTAGE * worth:
            found, worth = run, worth_of_run
        if worth > ASIDE_ADVANTAGE * most:
            best, most = found, worth
            if with_asides:
                for block in blocks[found]:
                    block.aside = False
    return best


def _best_run(worths: Sequence[int]) -> tuple[slice, int]:
    """The run with the largest sum (Kadane)."""
    best, most = slice(0, 0), 0
    begin = total = 0
    for index, worth in enumerate(worths):
        if total <= 0:
            begin, total = index, 0
        total += worth
        if total > most:
            best, most = slice(begin, index + 1), total
    return best, most


def _worth(block: Paragraph) -> int:
    """Characters of prose less characters of links; a heading or a table's cell counts neither way."""
    free = len(block.text) - block.link_characters
    if block.link_share > LINK_SHARE or not _PROSE.search(block.text) or is_boilerplate(block.text):
        return -block.link_characters
    return free


def paragraphs(root: HtmlElement) -> list[Paragraph]:
    """The visible text of a tree as blocks, in reading order."""
    return walk(root).blocks


def link_share(page: Page) -> float:
    """Share of the likeliest article's characters that are inside links, boilerplate aside, in [0, 1]."""
    blocks = [
        block for block in page.blocks[page.article] if not (block.aside or block.readers or is_boilerplate(block.text))
    ]
    return sum(block.link_characters for block in blocks) / max(1, sum(len(block.text) for block in blocks))


def tidy(blocks: Sequence[Paragraph]) -> str:
    """Paragraphs one a line, without editors' lines, disclaimers, share prompts, navigation and what follows "related articles"."""
    lines: list[str] = []
    prose = False
    for block in _before_the_end(blocks):
        text = block.text.strip()
        if not prose and len(text) <= _STAMP_LENGTH and _LEADING_DATE.search(text) and not _PROSE.search(text):
            continue  # "2023-03-28 15:02 松原教育网 记者 聂小川"
        if is_boilerplate(text) or (block.link_share > LINK_SHARE and not text.endswith(_FULL_STOPS)):
            continue
        text = without_editor(text)
        if text:
            lines.append(text)
            prose = prose or _PROSE.search(text) is not None
    return "\n".join(lines)


def _before_the_end(blocks: Sequence[Paragraph]) -> Iterator[Paragraph]:
    """The blocks up to the heading under which other articles, or readers, have the word, and without such headings."""
    total = sum(len(block.text) for block in blocks)
    seen = 0
    for block in blocks:
        seen += len(block.text)
        if not ends_article(block.text.strip()):
            yield block
        # Some sites put "related" boxes into the middle: the rest goes only when the larger part has been read.
        elif seen > total / 2:
            return


def first_post(blocks: list[Paragraph]) -> list[Paragraph]:
    """What opens a thread or a blog's page, without the answers and the older posts.

    Posts carry "发表于" or the like and a time in elements of one tag and class, above or below their text. The updates of a
    live report carry a time alone, and stay together.
    """
    stamps: dict[str, list[int]] = {}
    for index, block in enumerate(blocks):
        if len(block.text) <= _STAMP_LENGTH and _STAMP.search(block.text) and _POSTED.search(block.text):
            stamps.setdefault(block.place, []).append(index)
    places = max(stamps.values(), key=len, default=[])
    if len(places) < 2:
        return blocks
    prose = [len(block.text) if _PROSE.search(block.text) else 0 for block in blocks]
    before, after = sum(prose[: places[0]]), sum(prose[places[-1] :])
    if before > after:
        return blocks[: places[0]]
    return blocks[places[0] + 1 : places[1]]


def _by_readability(html: str) -> str:
    from readability import Document
    from readability.readability import Unparseable

    logging.getLogger("readability").setLevel(logging.CRITICAL)  # it logs a traceback for each page that it gives up
    try:
        summary = Document(html.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")).summary(
            html_partial=True
        )
    except Unparseable:
        return ""
    return tidy(paragraphs(parse(f"<body>{summary}</body>"))) if summary.strip() else ""


def _by_trafilatura(html: str) -> str:
    import trafilatura

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    text = trafilatura.extract(html, include_comments=False, include_tables=True, favor_recall=True, deduplicate=False)
    return tidy([Paragraph(line, 0) for line in (text or "").splitlines() if line.strip()])


def selected(page: Page, selector: str) -> Page:
    """The elements that a site's file names (CSS, or XPath that begins with /), as a page of the article alone."""
    try:
        nodes = page.tree.xpath(selector if selector.startswith("/") else HTMLTranslator().css_to_xpath(selector))
    except (lxml.etree.XPathError, SelectorError):
        nodes = []
    blocks: list[Paragraph] = []
    pictures: list[Picture] = []
    for element in nodes if isinstance(nodes, list) else []:
        if isinstance(element, HtmlElement):
            part = walk(element)
            pictures += (replace(found, block=found.block + len(blocks)) for found in part.pictures)
            blocks += part.blocks
    return Page(page.tree, blocks, slice(0, len(blocks)), pictures, slice(0, len(pictures)))


def article_pictures(page: Page) -> list[Picture]:
    """The pictures of the article (of a thread's opening post), without those under "related articles"."""
    if not page.pictures[page.framed]:
        return []
    candidates = [block for block in page.blocks[page.article] if not block.readers]
    posts = first_post(candidates)
    kept = list(_before_the_end([block for block in posts if not block.aside]))
    if not kept:
        return []
    places = {id(block): place for place, block in enumerate(page.blocks)}
    first = 0 if posts[0] is candidates[0] else places[id(posts[0])]
    last = places[id(kept[-1])] + 1  # a picture at the end stands before the block that comes next
    return [found for found in page.pictures[page.framed] if first <= found.block <= last]


def main_text(page: Page, html: str) -> str:
    """The article's own text, paragraphs one a line; empty when there is none. `html` is what the page was read from."""
    posts = first_post([block for block in page.blocks[page.article] if not block.readers])
    text = tidy([block for block in posts if not block.aside])
    for fallback in (_by_readability, _by_trafilatura):
        if len(text) >= FALLBACK_BELOW:
            break
        text = max(text, fallback(html), key=_sentences)
    return text


def _sentences(text: str) -> tuple[bool, int]:
    """What decides between two extractions: how much more of it is sentences than headings and links, in characters."""
    return bool(text), sum(len(line) if _SENTENCE.search(line) else -len(line) for line in text.split("\n"))

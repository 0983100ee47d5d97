"""The main text of a page: readability, trafilatura where that finds too little, then the lines that are not the article's own."""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass

import lxml.html
from lxml.html import HtmlElement

# Under this many characters readability has usually picked a caption or a navigation bar. On labelled Chinese pages
# the combination reaches a mean F1 of .905, readability alone .892.
FALLBACK_BELOW = 150

# A block whose text is mostly links is navigation; a paragraph of an article with many names linked stays below this.
LINK_SHARE = 0.6

_BLOCKS = frozenset(
    "address article aside blockquote body br center dd div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header hr li "
    "main nav ol p pre section table tbody td th thead tr ul".split()
)
_SILENT = frozenset("script style noscript template textarea select option button iframe object svg math head".split())


@dataclass
class Paragraph:
    """A block of text and how many of its characters are inside links."""

    text: str
    link_characters: int

    @property
    def link_share(self) -> float:
        """Share of the characters that are inside links, in [0, 1]."""
        return self.link_characters / max(1, len(self.text))


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


def paragraphs(root: HtmlElement) -> list[Paragraph]:
    """The visible text of a tree as blocks, in reading order. Iterative: pages may be nested ten thousand deep."""
    found: list[Paragraph] = []
    pieces: list[str] = []
    linked = 0
    in_link = silent = 0

    def take(text: str | None) -> None:
        nonlocal linked
        if text and not silent:
            pieces.append(text)
            if in_link:
                linked += len("".join(text.split()))

    def close() -> None:
        nonlocal linked
        text = " ".join("".join(pieces).split())
        if text:
            found.append(Paragraph(text, linked))
        pieces.clear()
        linked = 0

    for event, element in _walk(root):
        tag = element.tag if isinstance(element.tag, str) else ""
        if tag in _BLOCKS and not silent:
            close()
        if event == "start":
            silent += tag in _SILENT
            in_link += tag == "a"
            take(element.text)
        else:
            silent -= tag in _SILENT
            in_link -= tag == "a"
            if element is not root:
                take(element.tail)
    close()
    return found


def _walk(root: HtmlElement) -> Iterator[tuple[str, HtmlElement]]:
    yield from lxml.etree.iterwalk(root, events=("start", "end"))


# Lines that belong to the site, not to the article. Each pattern is anchored at a line's start and, where the words
# could begin a sentence of the article, bounded in length.
_NOT_THE_ARTICLE = re.compile(
    r"""^[\s\[【(（<《>》·•■●◆▲*—-]*(?:
      (?:责任?编辑?|责编|编辑|网络?编辑|值班编辑|美编|校对|审[核校]|编审|监制|值班主任|终审|来源|稿源|作者|记者|文章来源|原标题|原文链接|本文来源|发布时间|时间|日期|发表于|字体|字号|浏览次数|点击次?数?|阅读次?数?|人气|标签|关键[词字]|Tags?)\s*[:：/].{0,60}$
    | (?:免责声明|版权声明|特别声明|郑重声明|声明|风险提示|版权所有|未经.{0,12}(?:授权|许可|允许).{0,30}(?:转载|使用|复制)|(?:转载|引用)请(?:注明|联系|保留))
    | (?:本文|以上内容|文章|本站).{0,20}(?:仅代表作者|仅供参考|不代表本[网站]|不构成投资建议|系作者个人观点)
    | (?:分享到|分享至|分享给|转发到|扫一扫|扫码|扫描二维码|长按|点击(?:图片|这里|进入|查看|关注|下载|上方|下方)|关注我们|微信扫|打开微信|下载.{0,8}(?:APP|客户端)|欢迎关注)
    | (?:打印本?[页稿]|打印此|关闭窗口|【?关闭】?$|收藏本[页文]|加入收藏|我要(?:评论|纠错|投稿|分享)|发表评论|查看评论|网友评论|返回(?:首页|顶部|列表|目录)|回到顶部|举报|纠错)
    | (?:上一[篇页条]|下一[篇页条]|上篇|下篇|\[?\d+\]?\s*(?:下一页|尾页))
    | (?:当前位置|您(?:现在)?的?位置|首页\s*[>›»])
    | (?:\(|（)?(?:责任?编辑|责编|编辑)[:：]
    )""",
    re.VERBOSE | re.IGNORECASE,
)
# Headings under which other articles, or readers, have the word: everything after them goes, when little enough is
# left.
_END_OF_ARTICLE = re.compile(
    r"^[\s\[【(（<《>·•■●◆▲*—-]*(?:相关(?:阅读|新闻|报道|文章|链接|专题|推荐|资讯|内容)|延伸阅读|推荐阅读|推荐新闻|热门(?:推荐|文章|新闻|评论)|猜你喜欢|更多(?:精彩|新闻|阅读)|"
    r"精彩推荐|最新(?:评论|文章)|网友评论|全部评论|评论列表|相关评论|今日热点|大家都在看|往期(?:回顾|精彩))[\s\]】)）:：>》]*.{0,8}$"
)
_EDITORS_TAIL = re.compile(r"[\s(（\[【]*(?:责任?编辑|责编|网络?编辑|编辑)\s*[:：]\s*[^，。,；;]{1,16}[)）\]】]?\s*$")


def tidy(blocks: list[Paragraph]) -> str:
    """Paragraphs one a line, without editors' lines, disclaimers, share prompts, navigation and what follows "related articles"."""
    lines: list[str] = []
    total = sum(len(block.text) for block in blocks)
    seen = 0
    for block in blocks:
        text = block.text.strip()
        seen += len(text)
        # Some sites put "related" boxes into the middle: the rest goes only when the larger part has been read.
        if _END_OF_ARTICLE.match(text):
            if seen > total / 2:
                break
            continue
        if _NOT_THE_ARTICLE.match(text) or (
            block.link_share > LINK_SHARE and not text.endswith(("。", "！", "？", "”"))
        ):
            continue
        text = _EDITORS_TAIL.sub("", text)
        if text:
            lines.append(text)
    return "\n".join(lines)


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


def _by_density(html: str) -> str:
    """The element under which most unlinked text stands: what is left for pages whose markup misleads both libraries.

    An element is worth the text directly in it, its child blocks' in full and its grandchildren's by half, as in
    readability.
    """
    worth: dict[HtmlElement, float] = {}
    own: dict[HtmlElement, int] = {}
    tree = parse(html)
    for node in tree.iter():
        if not isinstance(node.tag, str) or node.tag in _SILENT or node.tag == "a":
            continue
        block = node
        while block.tag not in _BLOCKS and block.getparent() is not None:
            block = block.getparent()
        texts = [node.text or "", *(child.tail or "" for child in node if child.tag not in _SILENT)]
        own[block] = own.get(block, 0) + sum(len("".join(text.split())) for text in texts)
    for block, characters in own.items():
        for share in (1.0, 1.0, 0.5):
            worth[block] = worth.get(block, 0.0) + share * characters
            parent = block.getparent()
            if parent is None:
                break
            block = parent
    return tidy(paragraphs(max(worth, key=lambda block: worth[block]))) if worth else ""


def main_text(html: str) -> str:
    """The article's own text, paragraphs one a line; empty when there is none."""
    text = _by_readability(html)
    for fallback in (_by_trafilatura, _by_density):
        if len(text) >= FALLBACK_BELOW:
            break
        text = max(text, fallback(html), key=len)
    return text

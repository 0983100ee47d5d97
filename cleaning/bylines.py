"""Who wrote an article and where it comes from (来源): labels, bylines and the places where newspapers put names."""

import re
from collections.abc import Iterable, Sequence

from cleaning.extract import DATELINE_LENGTH, Page, Paragraph
from cleaning.markup import Markup
from yuqing.text.normalise import to_simplified

# The hundred commonest surnames (Ministry of Public Security, 2020), which nine in ten people bear, and others seen in
# bylines: what tells 记者马俊峰 from 记者透露.
_SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩邓冯曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈钟姜崔谭陆范汪廖石金韦贾夏付方邹"
    "熊白孟秦邱侯江尹薛闫段雷龙黎史陶贺毛郝顾龚邵万覃武钱戴严欧莫孔向常汤康易乔赖文傅施章葛颜岳柳温鲁祝季尚柯齐耿盛翟包甘焦俞庄柴单辛管左舒倪童"
    "殷聂宁冉安谷牛申路卜岑褚费洪纪解景靳蓝骆梅苗宓裴屈阮佘沙司宿滕佟屠涂危翁邬项邢宣阎晏游虞喻臧詹湛仲竺卓宗祖桑简麦车乐苑仇甄鞠丛晋栾边卞楚蒲敖荆闻巩阚邸练佐明富"
)
_COMPOUND = "欧阳|司马|上官|诸葛|东方|皇甫|尉迟|令狐|慕容|夏侯|司徒|端木|独孤|南宫"
_PERSON = rf"(?:(?:{_COMPOUND})[\u4e00-\u9fff]{{1,2}}|[{_SURNAMES}][\u4e00-\u9fff]{{1,2}})"
_PEOPLE = rf"{_PERSON}(?:[ 、，,　]+{_PERSON}){{0,3}}"

# A label with a colon or a slash announces a name of any form; 记者 also stands directly before a Chinese name.
_STOP = r"\s,，、;；|｜:：()（）\[\]【】<>《》/／"
_LABELLED = (
    r"(?<![\u4e00-\u9fff])(?:{})\s*[:：/／]\s*[\[【]?\s*"
    r"(?P<names>[^{stop}]{{2,20}}(?:[ 、，,　]+[^{stop}]{{2,20}}){{0,3}})"
)
_AFTER_NAME = rf"(?=[{_STOP}]|$|文|摄|报道|通讯员)"
_BYLINES = (
    re.compile(_LABELLED.format("作\\s*者|撰文|撰稿|文", stop=_STOP)),
    re.compile(_LABELLED.format("(?:本[报网刊台])?记者|通讯员", stop=_STOP)),
    re.compile(
        rf"(?:记者|通讯员)\s*[:：]?\s*(?P<names>{_PERSON}(?:[ 、，,　]+(?:通讯员|实习生|记者)?[ 　]*{_PERSON}){{0,3}}){_AFTER_NAME}"
    ),
    re.compile(_LABELLED.format("楼主|博主|发表[者人]?|发布[者人]", stop=_STOP)),
)
_EDITORS = re.compile(_LABELLED.format("责任?编辑|责编|编辑", stop=_STOP))
_ROLES = re.compile(r"^(?:通讯员|实习生|实习记者|本报记者|记者|见习记者|特约记者)$")
_NOT_A_NAME = re.compile(
    r"来源|编辑|责编|发布|日期|时间|浏览|阅读|点击|评论|字体|字号|关注|收藏|分享|佚名|匿名|未知|不详|^admin|管理员|本站|原创|网络|转载|获悉|"
    r"了解|采访|发现|看到|来到|注意|提问|查询|走访|联系|报道|科技|公司|^(?:从|在|昨|今|近|日前|问|团|站|会)|^\d+$|\d{4}|[=\"]|"
    r"(?:网|报|社|台|期刊|杂志|频道|中心|编辑部|工作室|出版)$|\b(?:Team|Inc|Discuz|WordPress|CMS|webmaster|editor|root)\b|\.(?:com|cn|net)",
    re.IGNORECASE,
)
_LABEL = re.compile(r"^\s*(?:作\s*者|记者|撰文|文|编辑|责编)\s*[:：/／]\s*")
_SPACED_LABEL = re.compile(r"(作者|来源|责编|编辑|记者)\s+")
_SPACED_NAME = re.compile(rf"(?<![\u4e00-\u9fff])([{_SURNAMES}])[ 　]+([\u4e00-\u9fff])(?![\u4e00-\u9fff])")
_HAS_DATE = re.compile(r"\d{2,4}\s*[-/.年]\s*\d{1,2}\s*[-/.月]\s*\d{1,2}")
_BRACKETED = re.compile(rf"[\[【(（]\s*(?P<names>{_PEOPLE})\s*[)）】\]]")
_ALONE = re.compile(rf"(?P<names>{_PERSON}(?:[ 、，,　]+[\u4e00-\u9fff]{{2,3}}){{0,3}})")
_SIGNATURE = re.compile(rf"(?:^|[。！？”…])\s*[（(]\s*(?P<names>{_PEOPLE})\s*[)）]$")
_MAXIMUM_FURTHER_NAME = 4  # after the first name only plain Chinese names: what follows may be a label or the medium
_SOURCE = re.compile(
    r"(?:文章|信息|新闻|稿件|本文|消息)?(?:来\s*源|稿\s*源|转自|出处)\s*(?:于|自)?\s*[:：]\s*[《「\[【(（]?\s*"
    r"(?P<source>[^\s|｜,，。;；)（(）》」\[\]【】:：]{2,20})"
)
_SOURCE_LABEL = re.compile("[源处處自]")  # a character of each label, in both scripts
_NEXT_LABEL = re.compile(r"(?:作者|编辑|责编|记者|责任编辑|时间|日期|发布|浏览|点击|阅读|字号|评论|\d{4}[-年/]).*$")
_NOT_A_SOURCE = re.compile(
    r"^(?:转载(?:文章)?|网络|互联网|本站(?:原创)?|原创|未知|不详|整理|其他|其它|网上|作者|佚名)$|[=\"]"
)
_EDGE_CHARACTERS = 40
_ABOVE, _BELOW = 12, 10  # blocks above and below the article in which names of its author stand
_AFTER_TITLE = 3


def author(page: Page, markup: Markup, title_at: int | None, hint: str | None) -> str | None:
    """The people who wrote it, joined by "、"; the editor when only an editor is named; None when nobody is.

    In this order: the listing, JSON-LD, labels (作者：), 记者 before a name, a name alone under the title, in brackets
    beside the date or at the text's end, a person given as the source, <meta name="author">, the editor.
    """
    if hint and (names := _names(_LABEL.sub("", to_simplified(hint)))):
        return names
    for item in markup.linked_data:
        people = item.get("author")
        people = people if isinstance(people, list) else [people]
        named = [
            str(p.get("name")) if isinstance(p, dict) else p
            for p in people
            if p and not (isinstance(p, dict) and p.get("@type") == "Organization")
        ]
        if names := _names("、".join(name for name in named if isinstance(name, str))):
            return names
    near = _near(page, title_at)
    # Not what is a link as a whole: "记者江湖" is a forum's name.
    lines = attributions([block for block in near if block.link_characters < len("".join(block.text.split()))])
    for pattern in _BYLINES:
        if names := _first(pattern, lines):
            return names
    for names in (_under_title(page, title_at), _beside_the_date(lines), _signature(page), _person_as_source(lines)):
        if names:
            return names
    stated = (names for value in markup.stated(("author", "article:author")) if (names := _names(value)))
    return next(stated, None) or _first(_EDITORS, lines)


def source(page: Page, markup: Markup) -> str | None:
    """The medium that the article says it comes from (来源), which is a reprint's origin."""
    labelled = [block for block in page.blocks if _SOURCE_LABEL.search(block.text)]
    for line in attributions(labelled):
        if match := _SOURCE.search(line):
            name = _NEXT_LABEL.sub("", match["source"]).strip("-—_·")
            if len(name) >= 2 and not _NOT_A_SOURCE.search(name) and not _is_person(name):
                return name
    stated = markup.stated(("source", "mediaid", "og:article:source", "contentsource"))
    return next((value for value in stated if 2 <= len(value) <= 20 and not _NOT_A_SOURCE.search(value)), None)


def _near(page: Page, title_at: int | None) -> list[Paragraph]:
    begin = max(0, page.article.start - _ABOVE)
    if title_at is not None:
        begin = max(0, min(begin, title_at - 2)) if title_at <= page.article.start else begin
    return page.blocks[begin : page.article.stop + _BELOW]


def _first(pattern: re.Pattern[str], lines: Iterable[str]) -> str | None:
    found = (names for line in lines for match in pattern.finditer(line) if (names := _names(match["names"])))
    return next(found, None)


def _under_title(page: Page, title_at: int | None) -> str | None:
    if title_at is None:
        return None
    lines = [to_simplified(block.text) for block in page.blocks[title_at + 1 : title_at + 1 + _AFTER_TITLE]]
    return next((_names(match["names"]) for line in lines if (match := _ALONE.fullmatch(line))), None)


def _beside_the_date(lines: Iterable[str]) -> str | None:
    dated = (line for line in lines if len(line) <= DATELINE_LENGTH and _HAS_DATE.search(line))
    return _first(_BRACKETED, dated)


def _signature(page: Page) -> str | None:
    ends = page.blocks[max(page.article.start, page.article.stop - 4) : page.article.stop + 2]
    return _first(_SIGNATURE, [to_simplified(block.text[-_EDGE_CHARACTERS:]) for block in reversed(ends)])


def _person_as_source(lines: Iterable[str]) -> str | None:
    found = (match["source"] for line in lines if (match := _SOURCE.search(line)))
    return next((name for name in found if _is_person(name)), None)


def _is_person(name: str) -> bool:
    return _ALONE.fullmatch(name) is not None and _NOT_A_NAME.search(name) is None


def attributions(blocks: Sequence[Paragraph]) -> list[str]:
    """Where names stand, in simplified characters: all of a short line, of a long one the beginning and the end.

    (本报讯（记者 …） … （编辑：…）)
    """
    edges = [
        block.spaced
        if len(block.text) <= DATELINE_LENGTH
        else f"{block.text[:_EDGE_CHARACTERS]} {block.text[-_EDGE_CHARACTERS:]}"
        for block in blocks
    ]
    # All at once: converting is length-preserving, and one search over a page is cheaper than one a line.
    simplified = to_simplified("\n".join(edges)).split("\n")
    return [_attribution(line) for line in simplified]


def _attribution(line: str) -> str:
    line = _SPACED_NAME.sub(r"\1\2", line)
    # "2025年1月26日 作者 沈亦舟 来源 弧光科技": beside a date a space does for a colon.
    return _SPACED_LABEL.sub(r"\1：", line) if _HAS_DATE.search(line) else line


def _names(text: str) -> str | None:
    kept: list[str] = []
    for name in re.split(r"[\s、，,;；/／]+", text.strip()):
        if _ROLES.match(name):
            continue
        if not 2 <= len(name) <= (_MAXIMUM_FURTHER_NAME if kept else 20) or _NOT_A_NAME.search(name):
            break
        kept.append(name)
    return "、".join(dict.fromkeys(kept)) or None

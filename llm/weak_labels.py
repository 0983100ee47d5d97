"""Weak labels: what rules can say of a document's category, summary, keywords and companies.

Only the document's sentiment has a human label in INEWS. The rest is written by these rules so that the model learns the
form of the answer and a plausible content; it is not ground truth, and the adapter's card says so.
"""

import re
from collections.abc import Callable, Sequence
from importlib import resources

from llm.analysis.schema import KEYWORD_LIMIT, SUMMARY_LIMIT, TYPE_LIMIT, CompanyAnswer
from yuqing.contracts import Sentiment
from yuqing.text.sentences import Span, sentence_spans

Keywords = Callable[[str, int], list[str]]

# Companies and brands that Chinese news of 2017-2019 names often.
COMPANIES = tuple((resources.files("llm") / "weak_companies.txt").read_text(encoding="utf-8").split())
# A legal name that stands by itself: without a tokenizer, a name inside a clause cannot be told from what is before it.
_NAMED = re.compile(
    r"(?<![\u4e00-\u9fa5])[\u4e00-\u9fa5]{2,12}?(?:集团|股份|有限公司|有限责任公司|药业)(?![\u4e00-\u9fa5]{0,2}(?:集团|公司))"
)
_NOT_A_NAME = re.compile(r"^(?:该|本|各|某|这|那|多家|一家|其中|包括|由|向|从|对|为|是|和|与)|的|了|在|被|将|等")

_NEGATIVE = re.compile(
    r"死亡|身亡|遇难|爆炸|起火|火灾|坠|事故|破产|刑拘|逮捕|被捕|立案|判处|犯罪|诈骗|欺诈|造假|处罚|罚款|起诉|诉讼|召回|裁员|泄露|"
    r"投诉|质疑|亏损|下跌|下滑|暴跌|违规|违法|维权|欠薪|拖欠|污染|黑心|假冒|曝光|丑闻|道歉|封杀|倒闭|跑路|失联|抄袭|缺陷|故障|延误|性侵|受贿|贪污"
)
_POSITIVE = re.compile(
    r"荣获|获奖|表彰|点赞|突破|创新|增长|大涨|盈利|领先|捐赠|公益|救援|援助|感谢|先进|优秀|合作|签约|成功|首个|冠军|喜讯|惠民|提升|助力|升级"
)
# The most serious cue decides the level; 1 when the sentiment is negative and no cue says more.
_LEVELS: tuple[tuple[int, re.Pattern[str]], ...] = (
    (4, re.compile(r"死亡|身亡|遇难|丧生|爆炸|破产|刑拘|逮捕|被捕|立案调查|判处|致癌")),
    (3, re.compile(r"处罚|罚款|起诉|召回|裁员|泄露|诈骗|欺诈|造假|犯罪|起火|火灾|受贿|性侵|查封|跑路")),
    (2, re.compile(r"投诉|质疑|亏损|下跌|下滑|违规|违法|维权|欠薪|拖欠|污染|假冒|曝光|事故|道歉|故障|诉讼|纠纷")),
)
_TYPES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("产品质量", re.compile(r"质量|召回|缺陷|故障|假冒|伪劣|不合格|过期|变质|有毒|疫苗|三包|瑕疵|山寨")),
    ("财务", re.compile(r"亏损|下跌|下滑|暴跌|债务|违约|破产|资金链|欠款|负债|股价|退市|减持")),
    ("法律合规", re.compile(r"处罚|罚款|起诉|诉讼|违规|违法|立案|判处|犯罪|诈骗|造假|侵权|抄袭|法院|垄断|传销")),
    ("劳资", re.compile(r"裁员|欠薪|讨薪|拖欠工资|加班|工伤|罢工|劳动争议|离职")),
    ("安全事故", re.compile(r"死亡|身亡|遇难|爆炸|起火|火灾|事故|坠|伤亡|溺|车祸|相撞")),
    ("数据泄露", re.compile(r"泄露|隐私|个人信息|黑客|漏洞")),
    (
        "高管",
        re.compile(r"(?:董事长|总裁|总经理|CEO|高管|创始人).{0,12}(?:被|涉|辞|刑拘|失联|自杀|逝世)", re.IGNORECASE),
    ),
    ("市场竞争", re.compile(r"竞争|价格战|份额|对手|封杀|抵制")),
    ("舆论危机", re.compile(r"投诉|质疑|曝光|维权|道歉|丑闻|网友|差评|声讨|引发热议")),
)
_SITE_TAIL = re.compile(
    r"\s*(?:[_|｜]|[-–—]{1,2}(?=[^-–—]*(?:网|新闻|百科|频道|论坛|门户|推荐|问答|资讯|在线)))[^_|｜]*$"
)
_CATEGORIES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("公司公告", re.compile(r"公告|停牌|复牌|股东大会|中标结果|招标")),
    ("财务报告", re.compile(r"年报|季报|半年报|财报|业绩|营收|净利润")),
    ("分析师报告", re.compile(r"研报|评级|目标价|券商|看好.{0,6}板块|走势分析|行情分析")),
    ("评论", re.compile(r"评论|观点|为何|为什么|如何看|怎么看|浅析|反思|[?？]\s*$|谈.{0,8}$|论.{2,8}$")),
    ("其他", re.compile(r"批发|价格|厂家|招聘|求购|出租|转让|小说|攻略|电话|百科|哪里|多少钱|怎么办")),
)


def clean_title(title: str) -> str:
    """The title without the site's name behind it ("…_搜狐网", "… - 孟州新闻网")."""
    shorter = _SITE_TAIL.sub("", title).strip(" -_|｜")
    while shorter != title and _SITE_TAIL.search(shorter):
        title, shorter = shorter, _SITE_TAIL.sub("", shorter).strip(" -_|｜")
    return shorter if len(shorter) >= 6 else title.strip()


def weak_category(title: str) -> str:
    """The category that the title's words suggest; 新闻报道 when none does."""
    return next((name for name, pattern in _CATEGORIES if pattern.search(title)), "新闻报道")


def weak_summary(title: str, text: str) -> str:
    """The cleaned title; with the first sentence when the title is short. At most SUMMARY_LIMIT characters."""
    summary = clean_title(title)
    if len(summary) < 12:
        spans = sentence_spans(text)
        first = text[slice(*spans[0])] if spans else ""
        summary = f"{summary}：{first}" if summary and first else summary or first
    return " ".join(summary.split())[:SUMMARY_LIMIT]


def weak_keywords(title: str, text: str, extract: Keywords) -> list[str]:
    """The words with the highest TF-IDF in the title (counted three times) and the lead, by `extract`."""
    words = extract(f"{clean_title(title)}。" * 3 + text[:400], KEYWORD_LIMIT * 2)
    return [word for word in words if len(word) > 1 and not word.isdigit()][: KEYWORD_LIMIT - 1]


def find_companies(title: str, text: str, limit: int) -> list[str]:
    """Names of companies in the document, those in the title first, at most `limit`; none is a part of another."""
    lead = text[:1500]
    counts: dict[str, int] = {}
    for name in COMPANIES:
        count = 3 * title.count(name) + lead.count(name)
        if count:
            counts[name] = count
    for match in _NAMED.finditer(f"{title}\n{lead}"):
        name = match.group()
        if not _NOT_A_NAME.search(name) and len(name) >= 4:
            counts[name] = counts.get(name, 0) + 1 + 2 * (name in title)
    ranked = sorted(counts, key=lambda name: (-counts[name], -len(name), name))
    chosen: list[str] = []
    for name in ranked:
        if not any(name in other or other in name for other in chosen):
            chosen.append(name)
    return chosen[:limit]


def _cue(sentence: str, sentiment: Sentiment) -> int:
    if sentiment == "neutral":
        return 0
    return len((_NEGATIVE if sentiment == "negative" else _POSITIVE).findall(sentence))


def risk_cue(text: str) -> int:
    """The level of the most serious risk that a word of the text names: 2 to 4, or 0 when none does."""
    return next((level for level, pattern in _LEVELS if pattern.search(text)), 0)


def risk_types(text: str) -> tuple[str, ...]:
    """The risk types that words of the text name, TYPE_LIMIT at most; 其他 when none does."""
    return tuple(kind for kind, pattern in _TYPES if pattern.search(text))[:TYPE_LIMIT] or ("其他",)


def weak_company(
    number: int, name: str, title: str, text: str, sentences: Sequence[Span], document: Sentiment
) -> CompanyAnswer:
    """What the rules say of one company. `sentences` are the prompt's spans; evidence numbers point into them.

    In the title or the first two sentences: the document's sentiment. Elsewhere: positive or negative when the
    sentences that name it carry such cues, else neutral. Not in the document at all: neutral, no evidence.
    """
    naming = [i for i, (start, end) in enumerate(sentences) if name in text[start:end]]
    said = "".join(text[slice(*sentences[i])] for i in naming)
    sentiment: Sentiment = "neutral"
    if name in title or any(i < 2 for i in naming):
        sentiment = document
    elif said:
        negative, positive = len(_NEGATIVE.findall(said)), len(_POSITIVE.findall(said))
        sentiment = "negative" if negative > positive else "positive" if positive > negative else "neutral"
    in_title = name in title
    candidates = naming or ([0] if in_title and sentences else [])
    ranked = sorted(candidates, key=lambda i: (-_cue(text[slice(*sentences[i])], sentiment), i))
    evidence = sorted(i + 1 for i in ranked[:2] if i == ranked[0] or _cue(text[slice(*sentences[i])], sentiment))
    risk, types = 0, []
    if sentiment == "negative":
        context = f"{title}。{said}" if in_title else said
        risk = risk_cue(context) or 1
        types = list(risk_types(context))
    return CompanyAnswer(id=number, sentiment=sentiment, risk=risk, types=types, evidence=evidence)

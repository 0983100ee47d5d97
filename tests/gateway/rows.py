"""Rows as the stages write them, for a made-up press about made-up companies."""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert, select, text

from gateway.auth import SHOWN_CHARACTERS, digest, new_key
from gateway.queries.keys import NewKey, store_key
from yuqing.contracts import now
from yuqing.database import models
from yuqing.identity import content_hash, doc_id
from yuqing.text.bigrams import bigrams
from yuqing.text.matcher import Matcher, relevance
from yuqing.text.normalise import normalise
from yuqing.watchlist import from_database

LINEAGE: dict[str, Any] = {
    "engine": "vllm 0.32",
    "model": "qwen2.5-coder-0.5b-instruct",
    "adapter": "inews-v1",
    "prompt_version": "analysis-v1",
    "cleaning_version": "clean-1",
    "prompt_tokens": 612,
    "completion_tokens": 118,
    "latency_ms": 2140,
}


@dataclass(frozen=True)
class Judgement:
    """A verdict to write; the quotes have to stand in the text."""

    sentiment: str
    quotes: tuple[str, ...] = ()
    risk: int = 0
    types: tuple[str, ...] = ()
    confidence: float = 0.87
    grounded: bool = True


@dataclass(frozen=True)
class Story:
    """A document to write."""

    title: str
    text: str
    site: str = "chenbao"
    source: str | None = "晨报"
    hours_ago: float = 5
    category: str | None = "新闻报道"
    summary: str = ""
    sentiment: str | None = "neutral"
    keywords: tuple[str, ...] = ()
    verdicts: dict[str, Judgement] = field(default_factory=dict)
    reprint_of: str | None = None
    url: str | None = None
    kind: str = "page"
    segments: tuple[dict[str, Any], ...] = ()
    parent_url: str | None = None
    media: str | None = None
    author: str | None = None


def add_key(connection: Connection, team: str, scope: str = "analyst", *, expires_in: timedelta | None = None) -> str:
    """A key of a team, which is made when it does not exist."""
    key = new_key()
    expires = now() + expires_in if expires_in else None
    store_key(connection, team, NewKey("测试", key[:SHOWN_CHARACTERS], digest(key), scope, expires))
    return key


def add_company(
    connection: Connection, team: str, name: str, aliases: tuple[str, ...] = (), exclude_words: tuple[str, ...] = ()
) -> int:
    """A company of an existing team."""
    team_id = connection.execute(select(models.Team.id).where(models.Team.name == team)).scalar_one()
    values = {"team_id": team_id, "name": name, "aliases": list(aliases), "exclude_words": list(exclude_words)}
    return connection.execute(insert(models.Company).values(values).returning(models.Company.id)).scalar_one()


def add_media(connection: Connection, content: bytes, content_type: str = "audio/mpeg") -> str:
    """A recording's row; the object itself is put by the test."""
    sha256 = hashlib.sha256(content).hexdigest()
    values = {
        "sha256": sha256,
        "s3_key": f"media/{sha256[:2]}/{sha256}.bin",
        "content_type": content_type,
        "bytes": len(content),
    }
    connection.execute(insert(models.Media).values(values))
    return sha256


def add_transcript(connection: Connection, sha256: str, lines: list[tuple[float, float, str]]) -> None:
    """What was said in a recording."""
    connection.execute(
        insert(models.TranscriptRow).values(
            media_sha256=sha256,
            options_hash="0" * 32,
            model="faster-whisper-base",
            language="zh",
            duration_s=lines[-1][1],
            text="".join(line[2] for line in lines),
            segments=[{"start": start, "end": end, "text": words} for start, end, words in lines],
            removed=[],
            raw_key="raw/test/batch.jsonl.gz",
        )
    )


def add_story(connection: Connection, story: Story) -> str:
    """A document with its mentions, analysis and verdicts; returns its id."""
    title, body = normalise(story.title).text, normalise(story.text).text
    url = story.url or f"https://{story.site}.example/{hashlib.md5(story.title.encode()).hexdigest()[:8]}.html"
    key = doc_id(story.kind, url, story.media)
    version = content_hash(f"{title}\n{body}")
    moment = now() - timedelta(hours=story.hours_ago)
    _document(connection, story, key, version, title, body, url, moment)
    matcher = Matcher(from_database(connection))
    mentions = matcher.mentions(title, body)
    for item in relevance(mentions):
        spans = [m.model_dump(exclude={"company_id"}) for m in mentions if m.company_id == item.company_id]
        values = {"doc_id": key, "company_id": item.company_id, "content_hash": version, "spans": spans}
        connection.execute(insert(models.MentionRow).values(**values, relevance=item.score))
    if story.media:
        connection.execute(insert(models.DocumentMedia).values(doc_id=key, sha256=story.media, url=url + ".mp3"))
    if story.sentiment is None:
        return key
    inherited = {"inherited_from": story.reprint_of}
    connection.execute(
        insert(models.DocumentAnalysisRow).values(
            doc_id=key,
            content_hash=version,
            sentiment=story.sentiment,
            score={"positive": 0.8, "neutral": 0.05, "negative": -0.85}[story.sentiment],
            confidence=0.88,
            category=story.category or "其他",
            summary=story.summary or body[:40],
            keywords=list(story.keywords),
            **inherited,
            **LINEAGE,
        )
    )
    ids = {name: number for number, name in connection.execute(select(models.Company.id, models.Company.name))}
    for company, verdict in story.verdicts.items():
        evidence = [_quote(body, quote, story.segments) for quote in verdict.quotes]
        connection.execute(
            insert(models.VerdictRow).values(
                doc_id=key,
                company_id=ids[company],
                content_hash=version,
                sentiment=verdict.sentiment,
                score={"positive": 1, "neutral": 0.1, "negative": -1}[verdict.sentiment] * verdict.confidence,
                confidence=verdict.confidence,
                risk_level=verdict.risk,
                risk_types=list(verdict.types),
                evidence=evidence,
                grounded=verdict.grounded,
                **inherited,
                **LINEAGE,
            )
        )
    return key


def _quote(body: str, quote: str, segments: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    start = body.index(quote)
    second = next((line["start_s"] for line in segments if line["start"] <= start < line["end"]), None)
    return {"quote": quote, "start": start, "end": start + len(quote), "start_s": second}


def _document(
    connection: Connection, story: Story, key: str, version: str, title: str, body: str, url: str, moment: datetime
) -> None:
    group = story.reprint_of or key
    if group == key:
        connection.execute(insert(models.ReprintGroup).values(group_id=key, first_seen=moment))
    values = {
        "doc_id": key,
        "content_hash": version,
        "kind": story.kind,
        "site": story.site,
        "url": url,
        "canonical_url": url,
        "title": title,
        "text": body,
        "published_at": moment,
        "first_seen": moment + timedelta(minutes=6),
        "fetched_at": moment + timedelta(minutes=6),
        "author": story.author,
        "source": story.source,
        "language": "zh",
        "segments": list(story.segments),
        "parent_url": story.parent_url,
        "group_id": group,
        "batch_key": "raw/test/batch.jsonl.gz",
        "cleaning_version": "clean-1",
    }
    terms = bigrams(f"{title}\n{body}")
    columns = ", ".join(values)
    bound = ", ".join(f"CAST(:{name} AS jsonb)" if name == "segments" else f":{name}" for name in values)
    connection.execute(
        text(f"INSERT INTO documents ({columns}, search) VALUES ({bound}, array_to_tsvector(CAST(:terms AS text[])))"),
        {**values, "segments": json.dumps(values["segments"]), "terms": terms},
    )


COMPANIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "星河汽车": (("星河", "Galaxy Auto"), ("星河影院",)),
    "澜山银行": (("澜山",), ()),
    "青禾乳业": (("青禾",), ("青禾苗",)),
    "云岭通信": (("云岭",), ()),
    "北辰航空": (("北辰航",), ()),
}

RECALL = """星河汽车今天宣布，因动力电池在连续快充后可能过热，自即日起召回2025年3月至8月生产的星河S7轿车，共计12,860辆。

国家有关部门表示，已收到17起与该车型电池有关的投诉，其中两起引发了车辆起火，没有造成人员伤亡。

“我们对给用户带来的不便深表歉意，将免费更换电池模组。”星河汽车质量负责人林知远在说明会上说。不过，多位车主告诉记者，售后网点至今没有给出明确的更换时间，有人已经等了三个星期。

受此消息影响，星河汽车股价当日下跌6.2%。为其提供购车贷款的澜山银行表示，召回不影响已发放贷款的还款安排。

分析人士认为，这次召回的费用可能在4亿元左右，约占公司去年净利润的一成；更大的影响在于消费者对快充安全的信心。"""

BANK = """澜山银行昨晚公布三季报：前三季度实现营业收入182亿元，同比增长7.4%；净利润63亿元，同比增长9.1%。

报告显示，该行不良贷款率降至0.94%，连续六个季度下降；对小微企业的贷款余额增长21%。

行长周以宁在业绩会上说，四季度将继续下调普惠贷款的利率。"""

DAIRY = """青禾乳业与六家牧场签订了五年期的原奶收购协议，收购价每季度按市场行情调整一次。

公司表示，协议将覆盖其约四成的原奶需求。"""

SPEECH = """主持人：各位听众早上好，欢迎收听早间财经。
昨天，云岭通信在西部五省同时出现网络中断，持续大约四个小时。
云岭通信解释说，中断的原因是一次设备升级的配置错误。
监管部门已经约谈公司负责人，要求一周内提交整改报告。
接下来看一下航空市场，北辰航空宣布新开三条国际航线。"""


def speech_segments(spoken: str) -> tuple[dict[str, Any], ...]:
    """Lines of a transcript with seconds at about five characters a second."""
    segments, start = [], 0
    for line in spoken.split("\n"):
        segments.append(
            {"start": start, "end": start + len(line), "start_s": start / 5, "end_s": (start + len(line)) / 5}
        )
        start += len(line) + 1
    return tuple(segments)


def add_press(connection: Connection, recording: bytes, team: str = "公关部") -> dict[str, str]:
    """Five companies of a team that exists; stories with verdicts, a reprint group, a recording. Name -> doc_id."""
    for name, (aliases, exclude_words) in COMPANIES.items():
        add_company(connection, team, name, aliases, exclude_words)
    recall = Judgement(
        "negative",
        (
            "其中两起引发了车辆起火，没有造成人员伤亡。",
            "不过，多位车主告诉记者，售后网点至今没有给出明确的更换时间，有人已经等了三个星期。",
        ),
        3,
        ("产品质量", "安全事故"),
        0.94,
    )
    # The second quote lies in the line of several sentences; it is copied by offsets all the same.
    neutral = Judgement(
        "neutral", ("为其提供购车贷款的澜山银行表示，召回不影响已发放贷款的还款安排。",), confidence=0.71
    )
    ids = {}
    story = Story(
        "星河汽车召回1.2万辆S7：快充后电池可能过热",
        RECALL,
        hours_ago=3,
        summary="星河汽车因电池快充后可能过热召回12,860辆S7，已有两起起火，股价跌6.2%。",
        sentiment="negative",
        keywords=("召回", "动力电池", "快充"),
        verdicts={"星河汽车": recall, "澜山银行": neutral},
        author="程一苇",
    )
    ids["recall"] = add_story(connection, story)
    for number, (site, source, hours) in enumerate((("caijing", "财经在线", 2.2), ("xibu", "西部新闻网", 1.4))):
        again = Story(
            "星河汽车召回1.2万辆S7 电池快充后可能过热" if number else "快充后电池可能过热 星河汽车召回1.2万辆S7",
            RECALL,
            site=site,
            source=source,
            hours_ago=hours,
            summary=story.summary,
            sentiment="negative",
            verdicts=story.verdicts,
            reprint_of=ids["recall"],
        )
        ids[f"reprint {number}"] = add_story(connection, again)
    ids["bank"] = add_story(
        connection,
        Story(
            "澜山银行前三季度净利润增长9.1%，不良率六连降",
            BANK,
            site="caijing",
            source="财经在线",
            hours_ago=14,
            category="财务报告",
            summary="澜山银行前三季度净利润63亿元，增长9.1%，不良贷款率降至0.94%。",
            sentiment="positive",
            keywords=("三季报", "净利润", "不良率"),
            verdicts={
                "澜山银行": Judgement(
                    "positive",
                    ("报告显示，该行不良贷款率降至0.94%，连续六个季度下降；对小微企业的贷款余额增长21%。",),
                    confidence=0.91,
                )
            },
        ),
    )
    ids["dairy"] = add_story(
        connection,
        Story(
            "青禾乳业与六家牧场签五年原奶协议",
            DAIRY,
            hours_ago=30,
            category="公司公告",
            summary="青禾乳业签订五年期原奶收购协议，覆盖约四成需求。",
            verdicts={"青禾乳业": Judgement("neutral", ("公司表示，协议将覆盖其约四成的原奶需求。",), confidence=0.66)},
        ),
    )
    ids["pending"] = add_story(
        connection,
        Story(
            "北辰航空新开三条国际航线，暑运运力增加两成",
            "北辰航空宣布，下月起新开飞往三座城市的国际航线。\n\n公司预计暑运运力将比去年增加两成。",
            hours_ago=0.4,
            sentiment=None,
        ),
    )
    ids["ungrounded"] = add_story(
        connection,
        Story(
            "乳品价格观察：供需趋稳",
            "多地乳品价格保持平稳。青禾乳业等企业表示，库存处于正常水平。",
            site="caijing",
            source="财经在线",
            hours_ago=52,
            category="评论",
            verdicts={"青禾乳业": Judgement("neutral", (), confidence=0.52, grounded=False)},
        ),
    )
    media = add_media(connection, recording)
    spoken = normalise(SPEECH).text
    ids["speech"] = add_story(
        connection,
        Story(
            "早间财经：云岭通信网络中断，监管约谈",
            spoken,
            site="xibu",
            source="西部广播",
            hours_ago=8,
            kind="transcript",
            segments=speech_segments(spoken),
            media=media,
            parent_url="https://xibu.example/morning.html",
            summary="云岭通信西部五省断网约四小时，监管部门约谈并要求整改。",
            sentiment="negative",
            verdicts={
                "云岭通信": Judgement(
                    "negative", ("监管部门已经约谈公司负责人，要求一周内提交整改报告。",), 4, ("法律合规",), 0.83
                )
            },
        ),
    )
    add_transcript(
        connection,
        media,
        [(item["start_s"], item["end_s"], spoken[item["start"] : item["end"]]) for item in speech_segments(spoken)],
    )
    ids["radio page"] = add_story(
        connection,
        Story(
            "早间财经节目：云岭通信断网之后",
            "点击收听本期节目，云岭通信网络中断的前因后果。",
            site="xibu",
            source="西部广播",
            hours_ago=9,
            url="https://xibu.example/morning.html",
            media=media,
            sentiment="neutral",
            verdicts={"云岭通信": Judgement("neutral", ("点击收听本期节目，云岭通信网络中断的前因后果。",), 1)},
        ),
    )
    return ids
